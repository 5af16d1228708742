// Chromium and the built page, for the tests of this directory. `cargo xtask test --only browser` runs them.

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { serve } from "./server.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const { chromium } = createRequire(`${root}web/package.json`)("playwright-core");

/** Where `cargo xtask web` has put the page. */
export const PAGE_DIR = process.env.PAGE_DIR ?? `${process.env.CARGO_TARGET_DIR ?? `${root}target`}/dist/web`;

// A container has no sandbox and no graphics, and nothing here may talk to the network.
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts server and browser; `use(open)` gets a function that opens pages. Both end with it. */
export async function withBrowser(use) {
  const server = await serve(PAGE_DIR);
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
  try {
    await use(async (path = "", options = {}) => {
      const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, ...options });
      page.problems = [];
      page.on("pageerror", (error) => page.problems.push(error.message));
      page.on("console", (message) => message.type() === "error" && page.problems.push(message.text()));
      await page.goto(server.url + path);
      return page;
    });
  } finally {
    await browser.close();
    server.close();
  }
}

/** Waits until the cluster of the playground runs. */
export async function clusterOf(page) {
  await page.waitForFunction(() => globalThis.wasmkube, null, { timeout: 30_000 });
}

/** Runs a command in the playground's terminal and resolves to the screen's text once it contains `expected`. */
export async function terminal(page, command, expected) {
  await page.click(".terminal-area");
  await page.keyboard.type(`${command}\n`);
  const screen = page.locator(".terminal-area .xterm-rows");
  await page.waitForFunction(
    (text) => document.querySelector(".terminal-area .xterm-rows")?.textContent.replaceAll("\u00a0", " ").includes(text),
    expected,
    { timeout: 15_000 },
  );
  return (await screen.innerText()).replaceAll("\u00a0", " ");
}

/** A Deployment of `replicas` pods that ask for nothing. */
export const deployment = (name, replicas, image = "wasmkube/http-echo:1.0") => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: "main", image }] } },
  },
});
