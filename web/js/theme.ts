// Calls `listener` now and whenever the page turns light or dark.

import { isDark } from "./page";

export function onTheme(listener: (dark: boolean) => void): void {
  const tell = () => listener(isDark());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);
  addEventListener("wasmkube-theme", tell);
  tell();
}

/** A colour of the page, as CSS computes it now. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
