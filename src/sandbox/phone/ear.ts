import { listen, type ToneReport } from "#core/audio/tone.ts";
import { type Clock, Timers } from "#sandbox/clock.ts";

/** Above this a stretch of 5 ms is a sound, in mean square of 16-bit samples: about -46 dBFS. */
const SOUND_POWER = 20_000;

/** Fewer samples than expected by more than this are missing audio, and count as silence. */
const JITTER_ALLOWANCE_MS = 100;

interface Listener {
  readonly chunks: Int16Array[];
  readonly finish: () => void;
}

interface OnsetWait {
  readonly found: (at: number | undefined) => void;
}

/** What a simulated user hears: keeps it for whoever listens, and notes when there was sound. */
export class Ear {
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #sampleRate: number;
  readonly #listeners = new Set<Listener>();
  readonly #onsets = new Set<OnsetWait>();
  readonly #sleepers = new Set<() => void>();
  #closed = false;
  #firstSoundAt: number | undefined;
  #lastSoundAt: number | undefined;
  #level = 0;

  constructor(clock: Clock, sampleRate: number) {
    this.#clock = clock;
    this.#timers = new Timers(clock);
    this.#sampleRate = sampleRate;
  }

  /** When something other than silence was first heard, Unix milliseconds. */
  get firstSoundAt(): number | undefined {
    return this.#firstSoundAt;
  }

  /** Mean square of the last piece. */
  get level(): number {
    return this.#level;
  }

  /** Takes a piece of audio that came at `at`; `missing` samples before it never came. */
  hear(samples: Int16Array, at: number, missing = 0): void {
    for (const listener of this.#listeners) {
      if (missing > 0) listener.chunks.push(new Int16Array(missing));
      listener.chunks.push(samples);
    }
    const onset = soundAt(samples, this.#sampleRate);
    this.#level = power(samples, 0, samples.length);
    if (onset === undefined) return;
    const soundAtMs = at + (onset * 1000) / this.#sampleRate;
    this.#firstSoundAt ??= soundAtMs;
    this.#lastSoundAt = at;
    for (const wait of [...this.#onsets]) {
      this.#onsets.delete(wait);
      wait.found(soundAtMs);
    }
  }

  /** Listens from now on for `ms` milliseconds. What does not come counts as silence. */
  listen(ms: number, expectedHz?: number): Promise<ToneReport> {
    return this.#record(ms).then((samples) => listen(samples, this.#sampleRate, expectedHz));
  }

  /** The raw audio of the next `ms` milliseconds. */
  #record(ms: number): Promise<Int16Array> {
    return new Promise((resolve) => {
      const listener: Listener = {
        chunks: [],
        finish: () => {
          cancel();
          this.#listeners.delete(listener);
          resolve(this.#joined(listener.chunks, ms));
        },
      };
      const cancel = this.#timers.after(ms, listener.finish);
      this.#listeners.add(listener);
    });
  }

  /** When the next sound begins; undefined when none comes in time. */
  nextSound(timeoutMs: number): Promise<number | undefined> {
    return new Promise((resolve) => {
      const wait: OnsetWait = {
        found: (at) => {
          cancel();
          resolve(at);
        },
      };
      const cancel = this.#timers.after(timeoutMs, () => {
        this.#onsets.delete(wait);
        resolve(undefined);
      });
      this.#onsets.add(wait);
    });
  }

  /** Resolves when nothing but silence was heard for `ms`; false when it does not come to that in time. */
  async quiet(ms: number, timeoutMs: number): Promise<boolean> {
    const until = this.#clock.now() + timeoutMs;
    for (;;) {
      const quietMs = this.#clock.now() - (this.#lastSoundAt ?? 0);
      if (quietMs >= ms) return true;
      if (this.#closed || this.#clock.now() >= until) return false;
      await this.#sleep(Math.max(5, ms - quietMs));
    }
  }

  /** Ends all listening at once with what was heard so far. */
  close(): void {
    this.#closed = true;
    for (const wake of [...this.#sleepers]) wake();
    for (const listener of [...this.#listeners]) listener.finish();
    for (const wait of [...this.#onsets]) {
      this.#onsets.delete(wait);
      wait.found(undefined);
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        cancel();
        this.#sleepers.delete(wake);
        resolve();
      };
      const cancel = this.#timers.after(ms, wake);
      this.#sleepers.add(wake);
    });
  }

  #joined(chunks: readonly Int16Array[], ms: number): Int16Array {
    const heard = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    const wanted = Math.round((ms * this.#sampleRate) / 1000);
    const allowance = (JITTER_ALLOWANCE_MS * this.#sampleRate) / 1000;
    const joined = new Int16Array(heard + allowance < wanted ? wanted : heard);
    let at = 0;
    for (const chunk of chunks) {
      joined.set(chunk, at);
      at += chunk.length;
    }
    return joined;
  }
}

/** Index of the first stretch of 5 ms that is a sound. */
function soundAt(samples: Int16Array, sampleRate: number): number | undefined {
  const step = Math.max(1, Math.round(sampleRate / 200));
  for (let at = 0; at < samples.length; at += step) {
    if (power(samples, at, Math.min(samples.length, at + step)) > SOUND_POWER) return at;
  }
  return undefined;
}

function power(samples: Int16Array, from: number, to: number): number {
  let sum = 0;
  for (let i = from; i < to; i += 1) sum += (samples[i] ?? 0) ** 2;
  return to > from ? sum / (to - from) : 0;
}
