// The generated client inside a page: the same objects, through the fetch that leads into the tab's own cluster.

import {
  AppsV1Api,
  CoreV1Api,
  ResponseContext,
  ServerConfiguration,
  createConfiguration,
  wrapHttpLibrary,
} from "@kubernetes/client-node/dist/gen/index.js";
import { setHeaderOptions } from "@kubernetes/client-node/dist/middleware.js";
import { EXPECTED, driveObjects } from "./objects.mjs";

/** A transport over `fetch`; resolves to what was seen and what should have been. */
globalThis.driveClient = async (fetch) => {
  const httpApi = wrapHttpLibrary({
    async send(request) {
      const response = await fetch(request.getUrl(), {
        method: request.getHttpMethod(),
        headers: request.getHeaders(),
        body: request.getBody(),
        signal: request.getSignal(),
      });
      const body = { text: () => response.text(), binary: () => response.arrayBuffer() };
      return new ResponseContext(response.status, Object.fromEntries(response.headers), body);
    },
  });
  const configuration = createConfiguration({ baseServer: new ServerConfiguration("https://cluster.example", {}), httpApi });
  const [core, apps] = [new CoreV1Api(configuration), new AppsV1Api(configuration)];
  await core.createNamespace({ body: { metadata: { name: "page" } } });
  return [await driveObjects(core, apps, "page", (type) => setHeaderOptions("Content-Type", type)), EXPECTED];
};
