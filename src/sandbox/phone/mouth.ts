import { ToneGenerator } from "#core/audio/tone.ts";

/** What a simulated user says, as 16-bit PCM: silence, a tone, or a short burst for measuring delay. */
export class Mouth {
  readonly #sampleRate: number;
  #tone: ToneGenerator | undefined;
  #burst: { readonly tone: ToneGenerator; samplesLeft: number; readonly onSaid: () => void } | undefined;

  constructor(sampleRate: number) {
    this.#sampleRate = sampleRate;
  }

  /** @param amplitude 0 to 1 of full scale. */
  tone(hz: number, amplitude = 0.5): void {
    this.#tone = new ToneGenerator(hz, this.#sampleRate, amplitude);
  }

  silence(): void {
    this.#tone = undefined;
  }

  /** A burst that begins with the next frame; `onSaid` runs when that frame is made. */
  burst(hz: number, ms: number, onSaid: () => void): void {
    const samplesLeft = Math.round((ms * this.#sampleRate) / 1000);
    this.#burst = { tone: new ToneGenerator(hz, this.#sampleRate, 0.6), samplesLeft, onSaid };
  }

  /** Fills the next frame. */
  next(frame: Int16Array): Int16Array {
    const burst = this.#burst;
    if (burst === undefined) return this.#tone === undefined ? frame.fill(0) : this.#tone.fill(frame);
    const fresh = burst.samplesLeft;
    const length = Math.min(fresh, frame.length);
    frame.fill(0);
    burst.tone.fill(frame.subarray(0, length));
    burst.samplesLeft -= length;
    this.#burst = burst.samplesLeft > 0 ? { ...burst, onSaid: () => undefined } : undefined;
    burst.onSaid();
    return frame;
  }
}
