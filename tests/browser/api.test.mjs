// The JavaScript interface: any Kubernetes client of a page stands on this.

import assert from "node:assert/strict";
import { test } from "node:test";
import { clusterOf, deployment, withBrowser } from "./browser.mjs";

test("fetch streams a watch and an abort ends it", { timeout: 60_000 }, async () => {
  await withBrowser(async (open) => {
    const page = await open("?ephemeral");
    await clusterOf(page);
    const seen = await page.evaluate(async () => {
      const list = await (await wasmkube.fetch("/api/v1/namespaces/default/configmaps")).json();
      const abort = new AbortController();
      const watch = await wasmkube.fetch(
        `/api/v1/namespaces/default/configmaps?watch=true&resourceVersion=${list.metadata.resourceVersion}`,
        { signal: abort.signal },
      );
      const body = JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" }, data: { key: "value" } });
      const headers = { "content-type": "application/json" };
      const made = await wasmkube.fetch("/api/v1/namespaces/default/configmaps", { method: "POST", headers, body });
      const gone = await wasmkube.fetch(new Request("https://any.example/api/v1/namespaces/default/configmaps/a", { method: "DELETE" }));
      const reader = watch.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      while (text.split("\n").length < 3) text += (await reader.read()).value;
      abort.abort();
      const ended = await reader.read().then(() => "ended", (error) => error.name);
      const types = text.trim().split("\n").map((line) => JSON.parse(line).type);
      return { watch: watch.status, made: made.status, gone: gone.status, types, ended };
    });
    assert.deepEqual(seen, { watch: 200, made: 201, gone: 200, types: ["ADDED", "DELETED"], ended: "AbortError" });
  });
});

test("errors are Kubernetes' own, and other frames can have a channel", { timeout: 60_000 }, async () => {
  await withBrowser(async (open) => {
    const page = await open("?ephemeral");
    await clusterOf(page);
    const seen = await page.evaluate(async () => {
      const core = await import(new URL(document.querySelector("meta[name=wasmkube-core]").content, document.baseURI).href);
      const channel = core.connect(wasmkube.port());
      const missing = await channel.fetch("/api/v1/namespaces/default/pods/none");
      const early = new AbortController();
      early.abort();
      const refused = await wasmkube.fetch("/version", { signal: early.signal }).catch((error) => error.name);
      return { status: missing.status, reason: (await missing.json()).reason, refused };
    });
    assert.deepEqual(seen, { status: 404, reason: "NotFound", refused: "AbortError" });
  });
});

test("time is an input", { timeout: 60_000 }, async () => {
  await withBrowser(async (open) => {
    const page = await open("?ephemeral");
    await clusterOf(page);
    const [stood, moved] = await page.evaluate(async () => {
      await wasmkube.pause();
      const before = wasmkube.now().getTime();
      await new Promise((resolve) => setTimeout(resolve, 50));
      const stood = wasmkube.now().getTime() - before;
      await wasmkube.step(30_000);
      return [stood, wasmkube.now().getTime() - before];
    });
    assert.deepEqual([stood, moved], [0, 30_000]);
  });
});

test("a Deployment of 1,000 pods", { timeout: 120_000 }, async () => {
  await withBrowser(async (open) => {
    const page = await open("?ephemeral");
    await clusterOf(page);
    const result = await page.evaluate(async (big) => {
      const core = await import(new URL(document.querySelector("meta[name=wasmkube-core]").content, document.baseURI).href);
      const cluster = await core.open({ config: { simulated_nodes: 20 } });
      const path = "/apis/apps/v1/namespaces/default/deployments";
      const began = performance.now();
      const headers = { "content-type": "application/json" };
      const made = await cluster.fetch(path, { method: "POST", headers, body: JSON.stringify(big) });
      if (!made.ok) return { error: await made.text() };
      const watch = await cluster.fetch(`${path}?watch=true&resourceVersion=0&fieldSelector=metadata.name%3Dbig`);
      const reader = watch.body.pipeThrough(new TextDecoderStream()).getReader();
      let ready = 0;
      for (let text = ""; ready < 1000; ) {
        const lines = (text + (await reader.read()).value).split("\n");
        text = lines.pop();
        for (const line of lines) ready = JSON.parse(line).object.status?.readyReplicas ?? 0;
      }
      const took = performance.now() - began;
      cluster.close();
      return { ready, took };
    }, deployment("big", 1000));
    assert.equal(result.ready, 1000, JSON.stringify(result));
    console.log(`1,000 pods ready after ${Math.round(result.took)} ms`);
  });
});
