import type { CodecPort } from "#media/call/bridge.ts";
import {
  FULL_COMPLEXITY,
  makeDecoder,
  makeEncoder,
  type OpusDecoderHandle,
  type OpusEncoderHandle,
} from "#media/stage/opus-codec.ts";

/** Often enough to follow a morning's rush, seldom enough not to follow noise. */
export const LOAD_PERIOD_MS = 1_000;

/**
 * Encoder complexity by the share of time that the worker's event loop is busy. 5 is where quality stops growing for
 * narrowband speech; 1 costs half as much (measured: 103 µs and 50 µs a frame).
 */
const STEPS: readonly { readonly upTo: number; readonly complexity: number }[] = [
  { upTo: 0.5, complexity: FULL_COMPLEXITY },
  { upTo: 0.7, complexity: 2 },
  { upTo: 1, complexity: 1 },
];

/** The load must be so far below a step before it is taken back, so that it does not swing. */
const HYSTERESIS = 0.1;

/** Makes the worker's codecs, and lets its encoders do less when the worker is busy. */
export class CodecLoad implements CodecPort {
  readonly #encoders = new Set<OpusEncoderHandle>();
  #step = 0;

  get complexity(): number {
    return STEPS[this.#step]?.complexity ?? FULL_COMPLEXITY;
  }

  async decoder(): Promise<OpusDecoderHandle> {
    return await makeDecoder();
  }

  async encoder(): Promise<OpusEncoderHandle> {
    const encoder = await makeEncoder(this.complexity);
    this.#encoders.add(encoder);
    return encoder;
  }

  release(encoder: OpusEncoderHandle): void {
    if (this.#encoders.delete(encoder)) encoder.free();
  }

  /** `utilization` of the event loop since the last time, 0 to 1. */
  adapt(utilization: number): void {
    const wanted = STEPS.findIndex(({ upTo }) => utilization <= upTo);
    const step = wanted < 0 ? STEPS.length - 1 : wanted;
    const limit = STEPS[step]?.upTo ?? 1;
    if (step === this.#step || (step < this.#step && utilization > limit - HYSTERESIS)) return;
    this.#step = step;
    for (const encoder of this.#encoders) encoder.setComplexity(this.complexity);
  }
}
