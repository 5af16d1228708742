// A static server for the tests: the built page as a host would serve it, brotli where the browser takes it.

import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".wasm": "application/wasm" };

/** Serves `directory` on a free port of the loopback; resolves to { url, close }. */
export function serve(directory, port = 0) {
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, "http://localhost").pathname).replace(/\/$/, "/index.html");
    const file = join(directory, path);
    if (!file.startsWith(directory) || !existsSync(file) || !statSync(file).isFile()) {
      return response.writeHead(404).end();
    }
    const packed = existsSync(`${file}.br`) && (request.headers["accept-encoding"] ?? "").includes("br");
    response.writeHead(200, {
      "content-type": TYPES[extname(file)] ?? "application/octet-stream",
      "cache-control": path.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "no-cache",
      ...(packed && { "content-encoding": "br" }),
    });
    createReadStream(packed ? `${file}.br` : file).pipe(response);
  });
  return new Promise((resolve) => {
    server.listen(port, "127.0.0.1", () => resolve({ url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() }));
  });
}
