// Virtual time: an input of core, so it can stand still, run fast or wait for a busy core.

import type { ClockChange, ClockState } from "./messages";

const realNow = () => performance.timeOrigin + performance.now();

/** A clock in microseconds since 1970 that never goes backwards. */
export class VirtualClock {
  #base: number;
  #since: number;
  #speed = 1;
  #paused = false;

  /** Starts at `start` (microseconds). `real` reads real time in milliseconds. */
  constructor(start: number, private readonly real: () => number = realNow) {
    this.#base = start;
    this.#since = real();
  }

  /** Virtual time now. */
  now(): number {
    if (this.#paused) return this.#base;
    return Math.floor(this.#base + (this.real() - this.#since) * this.#speed * 1000);
  }

  /** Changes speed, stands still, goes on, or moves ahead while standing still. */
  change({ speed, paused, step }: ClockChange): void {
    this.rebase(this.now());
    if (speed !== undefined && speed > 0 && Number.isFinite(speed)) this.#speed = Math.min(speed, 10_000);
    if (paused !== undefined) this.#paused = paused;
    if (step !== undefined && step > 0 && Number.isFinite(step)) this.#base += Math.floor(step * 1000);
  }

  /** Goes on from `now`: what a core that cannot keep up asks for. */
  rebase(now: number): void {
    this.#base = now;
    this.#since = this.real();
  }

  /** Real milliseconds until virtual time `at`; Infinity while the clock stands still. */
  realUntil(at: number): number {
    if (this.#paused) return at <= this.#base ? 0 : Infinity;
    return Math.max(0, (at - this.now()) / (this.#speed * 1000));
  }

  /** For the page. */
  state(): ClockState {
    return { now: this.now() / 1000, at: this.real(), speed: this.#speed, paused: this.#paused };
  }

  /** Virtual seconds per real second. */
  get speed(): number {
    return this.#speed;
  }
}
