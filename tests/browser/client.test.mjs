// Kubernetes' JavaScript client against the tab's cluster: what is written for a server works in a page.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { clusterOf, withBrowser } from "./browser.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const clients = `${root}tests/clients/node`;
const esbuild = createRequire(`${root}web/package.json`)("esbuild");

/** The client and what drives it, as one script. */
async function bundle() {
  if (!existsSync(`${clients}/node_modules`)) {
    execFileSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: clients });
  }
  const stub = `${clients}/node-only.mjs`;
  const built = await esbuild.build({
    entryPoints: [`${clients}/page.mjs`],
    bundle: true,
    write: false,
    format: "iife",
    target: "es2022",
    alias: { "node-fetch": stub, url: stub },
  });
  return built.outputFiles[0].text;
}

test("the Kubernetes client of npm works over wasmkube's fetch", { timeout: 120_000 }, async () => {
  const content = await bundle();
  await withBrowser(async (open) => {
    const page = await open("?ephemeral");
    await clusterOf(page);
    await page.addScriptTag({ content });
    const [seen, expected] = await page.evaluate(() => globalThis.driveClient((url, init) => wasmkube.fetch(url, init)));
    assert.deepEqual(seen, expected);
  });
});
