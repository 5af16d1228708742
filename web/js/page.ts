// What the page's Rust calls (imported there as "wasmkube-page"): the cluster of this tab, terminal, editor, clock.

import type { Cluster } from "../../browser/npm/index";

type Opened = { restored: boolean; persistent: boolean };

const address = (name: string) => document.querySelector<HTMLMetaElement>(`meta[name="${name}"]`)!.content;

/** The cluster is opened as soon as this module runs, while the page's own wasm is still loading. */
export const opening: Promise<Cluster> = import(new URL(address("wasmkube-core"), document.baseURI).href).then((core) =>
  core.open({
    name: new URLSearchParams(location.search).has("ephemeral") ? null : "playground",
    config: { simulated_nodes: 3, load_balancer_ip_range: "203.0.113.0/24", default_storage_class: true },
  }),
);

let cluster: Cluster | undefined;

/** Resolves when the cluster runs. `onCrash` is called if it stops later. */
export async function opened(onCrash: (message: string) => void): Promise<Opened> {
  cluster = await opening;
  // For the curious, and for tests: `await wasmkube.fetch("/version")` in the console.
  Object.assign(globalThis, { wasmkube: cluster });
  cluster.addEventListener("crashed", (event) => onCrash((event as CustomEvent<Error>).detail.message));
  return { restored: cluster.restored > 0, persistent: cluster.persistent };
}

/** One request; resolves to [status, text]. */
export async function request(method: string, path: string, contentType: string, body: string): Promise<[number, string]> {
  const init: RequestInit = { method, headers: { accept: "application/json" } };
  if (body) Object.assign(init, { body, headers: { accept: "application/json", "content-type": contentType } });
  const response = await (await opening).fetch(path, init);
  return [response.status, await response.text()];
}

/** A GET whose answer is given to `onText` as it comes; resolves to its status when it ends. */
export async function stream(path: string, onText: (text: string) => void, signal: AbortSignal): Promise<number> {
  const response = await (await opening).fetch(path, { signal, headers: { accept: "application/json" } });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return response.status;
    onText(value);
  }
}

/** Runs kubectl; resolves to its exit code. */
export async function kubectl(
  argv: string[],
  stdin: string,
  files: [string, string][],
  onPrint: (isError: boolean, text: string) => void,
  signal: AbortSignal,
): Promise<number> {
  return (await opening).kubectl(argv, {
    stdin,
    files: Object.fromEntries(files),
    onStdout: (text) => onPrint(false, text),
    onStderr: (text) => onPrint(true, text),
    signal,
  });
}

/** Milliseconds since 1970 by the cluster's clock. */
export const clusterNow = (): number => cluster?.now().getTime() ?? Date.now();
export const clusterSpeed = (): number => cluster?.clock.speed ?? 1;
export const clusterPaused = (): boolean => cluster?.clock.paused ?? false;
export const setSpeed = (factor: number): void => void cluster?.speed(factor);
export const setPaused = (paused: boolean): void => void (paused ? cluster?.pause() : cluster?.resume());
export const stepClock = (milliseconds: number): void => void cluster?.step(milliseconds);

/** Forgets the saved cluster and starts over. */
export async function startOver(): Promise<void> {
  await cluster?.reset().catch(() => undefined);
  location.reload();
}

/** Shows that the page itself failed; works without the page's wasm. */
export function crashed(message: string): void {
  console.error(message);
  document.documentElement.dataset.crashed = "";
  const place = document.querySelector("#crash-message");
  if (place) place.textContent = message;
}

/** The chosen theme ("light" or "dark"), or "" for what the system says. */
export function setTheme(theme: string): void {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  try {
    localStorage.setItem("wasmkube-theme", theme);
  } catch {
    // A browser that keeps nothing still shows the theme.
  }
  dispatchEvent(new Event("wasmkube-theme"));
}

/** Whether the page is dark now. */
export function isDark(): boolean {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Remembers a small text between visits. */
export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(`wasmkube-${key}`, value);
  } catch {
    // Not remembered, then.
  }
}

/** What was remembered, or "". */
export function recall(key: string): string {
  try {
    return localStorage.getItem(`wasmkube-${key}`) ?? "";
  } catch {
    return "";
  }
}

/** Makes a terminal in `place`. `onKeys` gets what is typed, as xterm encodes it. */
export async function createTerminal(place: HTMLElement, onKeys: (keys: string) => void): Promise<unknown> {
  return (await import("./terminal")).create(place, onKeys);
}

/** Makes an editor in `place`. `onApply` is called for Ctrl-Enter. */
export async function createEditor(place: HTMLElement, text: string, onChange: (text: string) => void, onApply: () => void): Promise<unknown> {
  return (await import("./editor")).create(place, text, onChange, onApply);
}

/** Watches tiles move: call before and after a change of the picture. See motion.ts. */
export { glide } from "./motion";
