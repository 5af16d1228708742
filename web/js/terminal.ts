// The terminal's screen: xterm.js in the page's colours. What is typed and printed is decided in Rust (src/terminal).

import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import { colour, onTheme } from "./theme";

export function create(place: HTMLElement, onKeys: (keys: string) => void) {
  const terminal = new Terminal({
    cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    fontFamily: colour("--mono"),
    fontSize: 13,
    lineHeight: 1.2,
    scrollback: 5000,
    convertEol: true,
    minimumContrastRatio: 4.5,
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(place);
  onTheme(() => (terminal.options.theme = theme()));
  const resize = () => place.clientWidth > 0 && fit.fit();
  const observer = new ResizeObserver(resize);
  observer.observe(place);
  resize();
  terminal.onData(onKeys);
  // Tab completes a command; Shift-Tab and Escape-then-Tab leave the terminal, for keyboards.
  let leave = false;
  terminal.attachCustomKeyEventHandler((event) => {
    if (event.type !== "keydown") return true;
    const leaving = event.key === "Tab" && (event.shiftKey || leave);
    leave = event.key === "Escape";
    return !leaving;
  });
  return {
    write: (text: string) => terminal.write(text),
    columns: () => terminal.cols,
    focus: () => terminal.focus(),
    clear: () => terminal.clear(),
    dispose: () => (observer.disconnect(), terminal.dispose()),
    text: () => {
      const buffer = terminal.buffer.active;
      return Array.from({ length: buffer.length }, (_, at) => buffer.getLine(at)?.translateToString(true) ?? "").join("\n");
    },
  };
}

function theme() {
  return {
    background: colour("--terminal"),
    foreground: colour("--terminal-ink"),
    cursor: colour("--accent"),
    cursorAccent: colour("--terminal"),
    selectionBackground: colour("--terminal-selection"),
    red: colour("--bad"),
    green: colour("--good"),
    yellow: colour("--warn"),
    blue: colour("--accent"),
    brightBlack: colour("--terminal-muted"),
  };
}
