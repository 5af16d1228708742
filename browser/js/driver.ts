// Drives core: queues inputs, steps it at the right virtual times in short turns, and hands its outputs on.

import type { Core } from "wasmkube-core";
import type { VirtualClock } from "./clock";

/** Longest turn before messages from pages get a chance, in real milliseconds. */
const TURN_MS = 10;
/** A core that is further behind than this stops the clock from running away, in real milliseconds. */
const LAG_MS = 500;

/** Takes core's outputs (browser/src/sink.rs). Bytes are views into wasm memory, to be copied before returning. */
export interface Sink {
  put(revision: number, key: string, value: Uint8Array): void;
  remove(revision: number, key: string): void;
  respond(stream: number, status: number, headers: string, body: Uint8Array): void;
  open(stream: number, status: number, headers: string): void;
  data(streams: Float64Array, bytes: Uint8Array): void;
  end(stream: number): void;
}

/** What the driver tells the worker. */
export interface Events {
  /** The clock was held back because core is busy. */
  lagging(): void;
  /** Core panicked; this driver does nothing any more. */
  crashed(message: string): void;
  /** A turn is over: a good time to look at what commands wait for. */
  turned(): void;
}

export class Driver {
  #last = 0;
  #wake: number | undefined = 0;
  #inputs = false;
  #scheduled = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dead = false;
  readonly #soon = new MessageChannel();

  constructor(
    private readonly core: Core,
    private readonly sink: Sink,
    private readonly clock: VirtualClock,
    private readonly events: Events,
  ) {
    this.#last = clock.now();
    this.#soon.port1.onmessage = () => this.#turn();
  }

  /** Queues an input by calling `queue`; it is part of the next step. */
  input(queue: (core: Core) => void): void {
    if (this.#dead) return;
    queue(this.core);
    this.#inputs = true;
    this.#schedule();
  }

  /** The clock was changed: look again when to wake. */
  reschedule(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#schedule();
  }

  /** Virtual time of the last step. */
  get last(): number {
    return this.#last;
  }

  #schedule(): void {
    if (this.#scheduled || this.#dead) return;
    const wait = this.#inputs ? 0 : this.#wake === undefined ? Infinity : this.clock.realUntil(this.#wake);
    if (wait < 1) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#scheduled = true;
      this.#soon.port2.postMessage(null);
    } else if (wait !== Infinity && this.#timer === undefined) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#schedule();
      }, Math.min(wait, 0x7fff_ffff));
    }
  }

  // Timers that are due before now are stepped at their own time, so that at a thousandfold speed what happens is
  // the same as at normal speed. Time waits for a core that is busy.
  #turn(): void {
    this.#scheduled = false;
    const end = performance.now() + TURN_MS;
    try {
      do {
        const now = this.clock.now();
        const due = this.#wake !== undefined && this.#wake < now ? this.#wake : now;
        this.#last = Math.max(this.#last, due);
        this.#inputs = false;
        this.#wake = this.core.step(this.#last, this.sink);
      } while ((this.#inputs || (this.#wake !== undefined && this.#wake <= this.clock.now())) && performance.now() < end);
    } catch (error) {
      this.#dead = true;
      this.events.crashed(String(error));
      return;
    }
    const busy = this.#wake !== undefined && this.#wake <= this.clock.now();
    if (busy && this.clock.now() - this.#last > LAG_MS * 1000 * this.clock.speed) {
      this.clock.rebase(this.#last);
      this.events.lagging();
    }
    this.events.turned();
    this.#schedule();
  }
}
