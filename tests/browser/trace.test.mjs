// The same recorded inputs give the same bytes in Chromium as natively.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { clusterOf, withBrowser } from "./browser.mjs";

const directory = process.env.TRACE_DIR;
const skip = directory ? false : "TRACE_DIR is not set: `cargo xtask test --only browser` makes the trace";

test("the demo trace", { timeout: 120_000, skip }, async () => {
  await withBrowser(async (open) => {
    const page = await open("?ephemeral");
    await clusterOf(page);
    const trace = readFileSync(`${directory}/trace.bin`).toString("base64");
    const outputs = await page.evaluate(async (trace) => {
      const bytes = Uint8Array.from(atob(trace), (letter) => letter.charCodeAt(0));
      const outputs = await wasmkube.runTrace(bytes);
      const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", outputs));
      return { length: outputs.length, sha256: Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("") };
    }, trace);
    const native = readFileSync(`${directory}/outputs.bin`);
    assert.deepEqual(outputs, { length: native.length, sha256: createHash("sha256").update(native).digest("hex") });
  });
});
