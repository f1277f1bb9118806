import type { PcmSink } from "./sink.ts";

/**
 * Cuts sound into frames of one length. Frames that fit already pass through untouched, which is the usual case; others
 * (10, 30, 40 ms) wait for their rest.
 */
export class Reframe implements PcmSink {
  readonly #next: PcmSink;
  readonly #frame: Int16Array;
  #filled = 0;

  constructor(samplesPerFrame: number, next: PcmSink) {
    this.#frame = new Int16Array(samplesPerFrame);
    this.#next = next;
  }

  take(samples: Int16Array, at: number): void {
    const frame = this.#frame;
    if (this.#filled === 0 && samples.length === frame.length) {
      this.#next.take(samples, at);
      return;
    }
    let from = 0;
    while (from < samples.length) {
      const length = Math.min(frame.length - this.#filled, samples.length - from);
      frame.set(samples.subarray(from, from + length), this.#filled);
      this.#filled += length;
      from += length;
      if (this.#filled === frame.length) {
        this.#filled = 0;
        this.#next.take(frame, at);
      }
    }
  }

  interrupt(): void {
    this.#filled = 0;
    this.#next.interrupt();
  }
}
