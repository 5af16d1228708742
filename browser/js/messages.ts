// What travels between a page and the worker that holds the cluster.
//
// A channel is a MessagePort (the worker's own, or one made by `Cluster.connect`). Its client numbers its requests,
// commands and calls from one counter and never uses a number twice; the worker's answers carry that number as `id`.

/** How a cluster is opened. Everything is optional. */
export interface OpenOptions {
  /** Name of the cluster in this browser's IndexedDB; `null` keeps it in memory only. Default: null. */
  name?: string | null;
  /** `cluster::Config` in its JSON form, for a cluster that is new. */
  config?: Record<string, unknown>;
  /** Who requests without an Authorization header come from. Default: kubernetes-admin in system:masters. */
  user?: { name: string; groups: string[] };
  /** Virtual seconds per real second. Default: 1. */
  speed?: number;
  /** Whether the clock stands still from the start. Default: false. */
  paused?: boolean;
}

/** The cluster's clock as it was at one moment; see `clockNow` for reading it later. */
export interface ClockState {
  /** Virtual time, in milliseconds since 1970. */
  now: number;
  /** Real time of this reading, in milliseconds since 1970. */
  at: number;
  /** Virtual seconds per real second. */
  speed: number;
  /** Whether it stands still. */
  paused: boolean;
}

/** A change of the clock: any of the three. */
export interface ClockChange {
  speed?: number;
  paused?: boolean;
  /** Move a clock that stands still ahead by so many milliseconds. */
  step?: number;
}

/** Page to worker. */
export type ToWorker =
  /** The first message, on the worker's own channel only. `wasm`: where core.wasm is. */
  | { type: "open"; options: OpenOptions; wasm: string }
  /** Serve this channel too. */
  | { type: "connect"; port: MessagePort }
  /** One HTTP request. `headers` are lines `name: value`. */
  | { type: "request"; id: number; method: string; target: string; headers: string; body: Uint8Array }
  /** The reader of request or command `id` went away. */
  | { type: "close"; id: number }
  /** One kubectl command. `files` are what `-f NAME` may read. */
  | { type: "kubectl"; id: number; argv: string[]; stdin: string; files: Record<string, string> }
  /** Changes the clock. */
  | { type: "clock"; id: number; change: ClockChange }
  /** Makes everything durable that happened until now. */
  | { type: "flush"; id: number }
  /** Forgets the journal; the cluster that runs goes on in memory. */
  | { type: "forget"; id: number }
  /** Replays a recorded trace on a cluster of its own and gives back the bytes of its outputs. */
  | { type: "trace"; id: number; bytes: Uint8Array };

/** Worker to page. */
export type FromWorker =
  /** The cluster runs. `restored`: how many objects came from the journal. `persistent`: whether it is journaled. */
  | { type: "opened"; restored: number; persistent: boolean; clock: ClockState }
  /** The cluster could not be opened. */
  | { type: "failed"; message: string }
  /** The head of an answer; `body` and `end` follow. */
  | { type: "head"; id: number; status: number; headers: string }
  /** A piece of body. */
  | { type: "body"; id: number; bytes: Uint8Array }
  /** The end of the answer. */
  | { type: "end"; id: number }
  /** What a kubectl command printed. */
  | { type: "print"; id: number; stream: "stdout" | "stderr"; text: string }
  /** A kubectl command ended. */
  | { type: "exit"; id: number; code: number }
  /** A call is done. */
  | { type: "done"; id: number; value?: unknown; error?: string }
  /** The clock changed, on every channel. */
  | { type: "clock"; clock: ClockState }
  /** Core stopped for good (a bug); the journal is intact. */
  | { type: "crashed"; message: string };

/** What the clock shows now, given an earlier reading. */
export function clockNow(clock: ClockState): number {
  const real = performance.timeOrigin + performance.now();
  return clock.paused ? clock.now : clock.now + (real - clock.at) * clock.speed;
}
