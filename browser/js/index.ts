// The package's entry: opens a cluster in a worker. The public types are in npm/index.d.ts, by hand.

import { Channel, type KubectlOptions } from "./channel";
import { type ClockChange, clockNow, type ClockState, type FromWorker, type OpenOptions, type ToWorker } from "./messages";

/** Where the parts of the package are, for bundlers that move them. */
interface Places {
  worker?: string | URL;
  wasm?: string | URL;
}

/** A Kubernetes cluster in a worker of this page. */
export class Cluster extends EventTarget {
  readonly #channel: Channel;
  #clock!: ClockState;
  #opened!: { restored: number; persistent: boolean };

  /** Use `open`. */
  constructor(private readonly worker: Worker, opened: (error?: Error) => void) {
    super();
    this.#channel = new Channel(worker, (message) => this.#event(message, opened));
    worker.addEventListener("error", (event) => this.#crash(event.message || "the worker did not load", opened));
  }

  /** The Fetch API's `fetch`, answered by this cluster: pass it to any Kubernetes client. */
  readonly fetch = (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => this.#channel.fetch(input, init);

  /** Runs one kubectl command and gives its exit code. */
  kubectl(argv: string[], options?: KubectlOptions): Promise<number> {
    return this.#channel.kubectl(argv, options);
  }

  /** A channel of its own, to hand to a frame or another worker, which wraps it with `connect`. */
  port(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#send({ type: "connect", port: port1 }, [port1]);
    return port2;
  }

  /** How many objects came from the journal. */
  get restored(): number {
    return this.#opened.restored;
  }

  /** Whether the state is kept in this browser. */
  get persistent(): boolean {
    return this.#opened.persistent;
  }

  /** The last reading of the clock. */
  get clock(): ClockState {
    return this.#clock;
  }

  /** The cluster's time now. */
  now(): Date {
    return new Date(clockNow(this.#clock));
  }

  pause(): Promise<void> {
    return this.#change({ paused: true });
  }

  resume(): Promise<void> {
    return this.#change({ paused: false });
  }

  speed(factor: number): Promise<void> {
    return this.#change({ speed: factor });
  }

  step(milliseconds: number): Promise<void> {
    return this.#change({ step: milliseconds });
  }

  flush(): Promise<void> {
    return this.#channel.call((id) => ({ type: "flush", id }));
  }

  async reset(): Promise<void> {
    await this.#channel.call((id) => ({ type: "forget", id }));
    this.close();
  }

  runTrace(bytes: Uint8Array): Promise<Uint8Array> {
    return this.#channel.call((id) => ({ type: "trace", id, bytes }));
  }

  close(): void {
    this.#channel.fail(new Error("the cluster was closed"));
    this.worker.terminate();
  }

  #change(change: ClockChange): Promise<void> {
    return this.#channel.call((id) => ({ type: "clock", id, change }));
  }

  #send(message: ToWorker, transfer: Transferable[] = []): void {
    this.worker.postMessage(message, transfer);
  }

  #event(message: FromWorker, opened: (error?: Error) => void): void {
    switch (message.type) {
      case "opened":
        this.#clock = message.clock;
        this.#opened = message;
        return opened();
      case "failed":
        return this.#crash(message.message, opened);
      case "clock":
        this.#clock = message.clock;
        return void this.dispatchEvent(new CustomEvent("clock", { detail: message.clock }));
      case "crashed":
        return this.#crash(message.message, opened);
    }
  }

  #crash(message: string, opened: (error?: Error) => void): void {
    const error = new Error(`the control plane stopped: ${message}`);
    opened(error);
    this.#channel.fail(error);
    this.dispatchEvent(new CustomEvent("crashed", { detail: error }));
  }
}

/** Opens a cluster. */
export async function open(options: OpenOptions & Places = {}): Promise<Cluster> {
  const { worker: script, wasm, ...rest } = options;
  const worker = script
    ? new Worker(script, { type: "module" })
    : new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  const place = new URL(wasm ?? new URL("./core.wasm", import.meta.url), location.href).href;
  const cluster = await new Promise<Cluster>((resolve, reject) => {
    const opening: Cluster = new Cluster(worker, (error) => (error ? reject(error) : resolve(opening)));
    worker.postMessage({ type: "open", options: rest, wasm: place } satisfies ToWorker);
  });
  // A tab that is being hidden may never run again: make its state durable while there is time.
  addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") cluster.flush().catch(() => undefined);
  });
  return cluster;
}

/** Speaks to a cluster over a channel that `Cluster.port` made. */
export function connect(port: MessagePort): Channel {
  const channel = new Channel(port);
  port.start();
  return channel;
}

export { clockNow };
