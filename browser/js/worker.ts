// The worker: one core, its clock and journal, and the channels of the pages it serves. Messages: messages.ts.

import init, { Core, runTrace } from "wasmkube-core";
import { Channel } from "./channel";
import { VirtualClock } from "./clock";
import { Driver, type Sink } from "./driver";
import { runKubectl } from "./kubectl";
import { Journal } from "./journal";
import type { FromWorker, OpenOptions, ToWorker } from "./messages";

/** Where answers to a stream of core go: a channel's request. */
interface Answer {
  port: Port;
  id: number;
}

type Port = Pick<MessagePort, "postMessage" | "addEventListener">;

const ADMIN = { name: "kubernetes-admin", groups: ["system:masters"] };

class Worker {
  readonly #ports: Port[] = [];
  readonly #answers = new Map<number, Answer>();
  readonly #streams = new Map<Port, Map<number, number>>();
  #nextStream = 1;
  #driver!: Driver;
  #clock!: VirtualClock;
  #journal: Journal | null = null;
  #user = ADMIN;
  #self: Channel | undefined;
  /** What interrupts the commands of each channel. */
  readonly #commands = new Map<Port, Map<number, () => void>>();

  /** Loads core, restores the cluster of this name if there is one, and lets it run. */
  async open(port: Port, options: OpenOptions, wasm: string): Promise<void> {
    const seed = crypto.getRandomValues(new Uint32Array(1))[0];
    const fresh = { seed, ...options.config };
    const [, journal] = await Promise.all([
      init({ module_or_path: wasm }),
      options.name ? Journal.open(options.name, fresh, () => this.#driver.last) : null,
    ]);
    this.#journal = journal;
    this.#user = options.user ?? ADMIN;
    const restored: [number, string, Uint8Array][] = [];
    const progress = await journal?.restore((...record) => restored.push(record));
    const core = new Core(JSON.stringify(journal?.config ?? fresh));
    for (const [revision, key, value] of restored) core.restore(revision, key, value);
    core.start(progress?.revision ?? 0);

    const real = Math.floor((performance.timeOrigin + performance.now()) * 1000);
    this.#clock = new VirtualClock(Math.max(real, progress?.now ?? 0));
    this.#clock.change({ speed: options.speed, paused: options.paused });
    this.#driver = new Driver(core, this.#sink(), this.#clock, {
      lagging: () => this.#tellClock(),
      crashed: (message) => this.#broadcast({ type: "crashed", message }),
      turned: () => undefined,
    });
    this.#driver.input(() => undefined);
    this.serve(port);
    const opened = { restored: restored.length, persistent: journal !== null, clock: this.#clock.state() };
    post(port, { type: "opened", ...opened });
  }

  /** Listens to a channel. */
  serve(port: Port): void {
    this.#ports.push(port);
    this.#streams.set(port, new Map());
    port.addEventListener("message", (event) => this.#message(port, (event as MessageEvent<ToWorker>).data));
  }

  #message(port: Port, message: ToWorker): void {
    switch (message.type) {
      case "connect":
        this.serve(message.port);
        message.port.start();
        return post(message.port, { type: "clock", clock: this.#clock.state() });
      case "request":
        return this.#request(port, message);
      case "close":
        return this.#close(port, message.id);
      case "clock":
        this.#clock.change(message.change);
        this.#tellClock();
        this.#driver.reschedule();
        return post(port, { type: "done", id: message.id });
      case "flush":
        return this.#call(port, message.id, this.#journal?.flush() ?? Promise.resolve());
      case "forget": {
        const journal = this.#journal;
        this.#journal = null;
        return this.#call(port, message.id, journal?.forget() ?? Promise.resolve());
      }
      case "kubectl":
        return this.#kubectl(port, message);
      case "trace":
        return this.#call(port, message.id, Promise.resolve().then(() => runTrace(message.bytes)));
      case "open":
        return;
    }
  }

  #request(port: Port, message: Extract<ToWorker, { type: "request" }>): void {
    const stream = this.#nextStream++;
    this.#answers.set(stream, { port, id: message.id });
    this.#streams.get(port)?.set(message.id, stream);
    const { name, groups } = this.#user;
    const subject = /^authorization:/im.test(message.headers) ? "" : [name, ...groups].join("\n");
    const { method, target, headers, body } = message;
    this.#driver.input((core) => core.request(stream, method, target, headers, body, subject));
  }

  // A command talks to this worker over a channel of its own, like any other client.
  #kubectl(port: Port, message: Extract<ToWorker, { type: "kubectl" }>): void {
    const commands = this.#commands.get(port) ?? new Map<number, () => void>();
    this.#commands.set(port, commands);
    const interrupted = new Promise<void>((resolve) => commands.set(message.id, resolve));
    const print = (stream: "stdout" | "stderr", text: string) => post(port, { type: "print", id: message.id, stream, text });
    runKubectl(this.#own(), message, () => this.#clock.now(), print, interrupted)
      .then((code) => post(port, { type: "exit", id: message.id, code }))
      .catch((error) => post(port, { type: "done", id: message.id, error: String(error) }))
      .finally(() => commands.delete(message.id));
  }

  #own(): Channel {
    if (this.#self) return this.#self;
    const { port1, port2 } = new MessageChannel();
    this.serve(port1);
    port1.start();
    port2.start();
    return (this.#self = new Channel(port2));
  }

  #close(port: Port, id: number): void {
    this.#commands.get(port)?.get(id)?.();
    const stream = this.#streams.get(port)?.get(id);
    if (stream === undefined) return;
    this.#finish(stream);
    this.#driver.input((core) => core.closed(stream));
  }

  #finish(stream: number): void {
    const answer = this.#answers.get(stream);
    if (answer) this.#streams.get(answer.port)?.delete(answer.id);
    this.#answers.delete(stream);
  }

  #call(port: Port, id: number, work: Promise<unknown>): void {
    work.then(
      (value) => post(port, { type: "done", id, value }),
      (error) => post(port, { type: "done", id, error: String(error) }),
    );
  }

  #tellClock(): void {
    this.#broadcast({ type: "clock", clock: this.#clock.state() });
  }

  #broadcast(message: FromWorker): void {
    for (const port of this.#ports) post(port, message);
  }

  // Bytes are views into wasm memory: `slice` copies what leaves.
  #sink(): Sink {
    const send = (stream: number, message: (id: number) => FromWorker, bytes?: Uint8Array) => {
      const answer = this.#answers.get(stream);
      if (answer) post(answer.port, message(answer.id), bytes);
    };
    return {
      put: (revision, key, value) => this.#journal?.append(revision, key, value.slice()),
      remove: (revision, key) => this.#journal?.append(revision, key, null),
      respond: (stream, status, headers, view) => {
        const bytes = view.slice();
        send(stream, (id) => ({ type: "head", id, status, headers }));
        if (bytes.length > 0) send(stream, (id) => ({ type: "body", id, bytes }), bytes);
        send(stream, (id) => ({ type: "end", id }));
        this.#finish(stream);
      },
      open: (stream, status, headers) => send(stream, (id) => ({ type: "head", id, status, headers })),
      data: (streams, view) => {
        for (const stream of streams) {
          const bytes = view.slice();
          send(stream, (id) => ({ type: "body", id, bytes }), bytes);
        }
      },
      end: (stream) => {
        send(stream, (id) => ({ type: "end", id }));
        this.#finish(stream);
      },
    };
  }
}

function post(port: Port, message: FromWorker, bytes?: Uint8Array): void {
  port.postMessage(message, bytes ? [bytes.buffer as ArrayBuffer] : []);
}

// The first message opens the cluster.
const self_ = globalThis as unknown as Port;
const worker = new Worker();
const first = (event: Event) => {
  const message = (event as MessageEvent<ToWorker>).data;
  if (message.type !== "open") return;
  worker.open(self_, message.options, message.wasm).catch((error) => {
    post(self_, { type: "failed", message: String(error) });
  });
};
(globalThis as unknown as EventTarget).addEventListener("message", first);
