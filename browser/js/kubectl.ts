// The surroundings of a kubectl command in the worker: its requests, its output, its patience.

import { kubectl } from "wasmkube-core";
import type { Channel } from "./channel";
import type { ToWorker } from "./messages";

type Command = Pick<Extract<ToWorker, { type: "kubectl" }>, "argv" | "stdin" | "files">;

/** Runs `command` against `channel`; resolves to its exit code. `now`: the cluster's time in microseconds. */
export function runKubectl(
  channel: Channel,
  command: Command,
  now: () => number,
  print: (stream: "stdout" | "stderr", text: string) => void,
  interrupted: Promise<void>,
): Promise<number> {
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  const shell = {
    now,
    sleep: (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds)),
    print(isError: boolean, view: Uint8Array) {
      const stream = isError ? "stderr" : "stdout";
      print(stream, decoders[stream].decode(view, { stream: true }));
    },
    send: (method: string, target: string, headers: string, view: Uint8Array) =>
      request(channel, method, target, headers, view.slice()),
  };
  return kubectl(shell, command.argv, command.stdin, Object.entries(command.files).flat(), interrupted);
}

async function request(channel: Channel, method: string, target: string, lines: string, bytes: Uint8Array) {
  const headers = new Headers();
  for (const line of lines.split("\n")) {
    const at = line.indexOf(":");
    if (at > 0) headers.append(line.slice(0, at), line.slice(at + 1).trim());
  }
  const body = bytes.length > 0 ? (bytes as BodyInit) : undefined;
  const response = await channel.fetch(target, { method, headers, body });
  const reader = response.body?.getReader();
  return {
    status: response.status,
    headers: [...response.headers].map(([name, value]) => `${name}: ${value}\n`).join(""),
    next: async () => (await reader?.read())?.value,
    cancel: () => void reader?.cancel().catch(() => undefined),
  };
}
