// What a person sees and does in the playground.

import assert from "node:assert/strict";
import { test } from "node:test";
import { clusterOf, terminal, withBrowser } from "./browser.mjs";

const readyPods = (count) => (page) =>
  page.waitForFunction((count) => document.querySelectorAll(".pod.ready:not(.gone)").length === count, count, { timeout: 30_000 });

const says = (page, where, what) =>
  page.waitForFunction(([where, what]) => document.querySelector(where)?.innerText.includes(what), [where, what], { timeout: 30_000 });

test("apply, watch, kubectl, delete, reload", { timeout: 120_000 }, async () => {
  await withBrowser(async (open) => {
    const page = await open();
    await clusterOf(page);
    await page.waitForSelector(".node.ready");

    await page.click(".editor .primary");
    await page.waitForSelector(".outcome.good");
    assert.match(await page.innerText(".outcome"), /deployment\.apps\/web created/);
    await readyPods(6)(page);
    // What stands in other objects' status follows the pods a moment later.
    await says(page, ".card", "6/6");
    await says(page, ".service", "→ 6");

    const printed = await terminal(page, "kubectl get deployment web", "UP-TO-DATE");
    assert.match(printed, /web\s+6\/6\s+6\s+6/);

    await page.click(".pod.ready");
    await page.waitForSelector(".drawer");
    await page.click(".drawer [role=tab]:has-text('YAML')");
    await page.waitForFunction(() => document.querySelector(".drawer .code")?.textContent.includes("kind: Pod"));
    const gone = await page.innerText(".drawer h2");
    await page.click(".drawer .danger");
    await page.waitForFunction((name) => !document.querySelector(`.pod[data-key="default/${name}"]:not(.gone)`), gone);
    await readyPods(6)(page);

    await page.evaluate(() => wasmkube.flush());
    await page.reload();
    await clusterOf(page);
    await page.waitForFunction(() => document.querySelector(".status-text")?.textContent === "Restored");
    await readyPods(6)(page);
    assert.deepEqual(page.problems, []);
  });
});

test("an error is shown at its line", { timeout: 60_000 }, async () => {
  await withBrowser(async (open) => {
    const page = await open("?ephemeral");
    await clusterOf(page);
    await page.waitForSelector(".cm-content");
    await page.click(".cm-line:has-text('replicas: 6')");
    await page.keyboard.press("End");
    await page.keyboard.press("Backspace");
    await page.keyboard.type("-1");
    await page.click(".editor .primary");
    await page.waitForSelector(".outcome.bad");
    assert.match(await page.innerText(".outcome"), /spec\.replicas: Invalid value/);
    assert.match(await page.innerText(".cm-line:has(.cm-lintRange-error)"), /replicas: -1/);
  });
});

test("a narrow screen shows one pane at a time, without sideways scrolling", { timeout: 60_000 }, async () => {
  await withBrowser(async (open) => {
    const page = await open("?ephemeral", { viewport: { width: 360, height: 740 } });
    await clusterOf(page);
    for (const [name, pane] of [["YAML", ".editor"], ["Terminal", ".shell"], ["Events", ".feed"], ["Cluster", ".cluster"]]) {
      await page.click(`.tabs button:has-text("${name}")`);
      await page.waitForSelector(pane, { state: "visible" });
      assert.equal(await page.locator(".pane:visible").count(), 1, name);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= 360, `${name} is ${wide} px wide`);
    }
  });
});

test("the page can be used soon", { timeout: 60_000 }, async () => {
  await withBrowser(async (open) => {
    const page = await open("?ephemeral");
    await clusterOf(page);
    const answered = await page.evaluate(async () => {
      await wasmkube.fetch("/version");
      return performance.now();
    });
    const painted = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
    console.log(`first paint after ${Math.round(painted)} ms, first answer of the API after ${Math.round(answered)} ms`);
  });
});
