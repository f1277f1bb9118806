/**
 * Tones: made, and found again. Audio is proven by what is heard, so this is what every audible test and the self-test
 * stand on. Samples are signed 16-bit PCM, mono.
 */

/** Full scale of 16-bit PCM. */
const FULL_SCALE = 32_767;

/** A window long enough for 25 Hz of resolution, short enough that one lost packet spoils few of them. */
const WINDOW_MS = 80;

/** Below this level a window counts as silence, in dB relative to full scale. */
const SILENCE_DBFS = -55;

/** A sine without phase jumps between the pieces it is fetched in. */
export class ToneGenerator {
  readonly #step: number;
  readonly #amplitude: number;
  #phase = 0;

  /** @param amplitude 0 to 1 of full scale. */
  constructor(hz: number, sampleRate: number, amplitude = 0.5) {
    this.#step = (2 * Math.PI * hz) / sampleRate;
    this.#amplitude = amplitude * FULL_SCALE;
  }

  fill(samples: Int16Array): Int16Array {
    for (let i = 0; i < samples.length; i += 1) {
      samples[i] = Math.round(this.#amplitude * Math.sin(this.#phase));
      this.#phase += this.#step;
      if (this.#phase > 2 * Math.PI) this.#phase -= 2 * Math.PI;
    }
    return samples;
  }
}

export interface ToneReport {
  /** Strongest frequency, Hz; 0 in silence. */
  readonly hz: number;
  /** Level of the whole signal, dB relative to full scale. */
  readonly levelDbfs: number;
  /** Power of that tone against everything else, dB: the median over windows, capped at 90. */
  readonly snrDb: number;
  /** Longest stretch in which that tone was absent, ms. The start before it first sounds does not count. */
  readonly longestGapMs: number;
  /** How much was listened to, ms. */
  readonly heardMs: number;
}

/** Power of one frequency in a stretch of samples, as mean square (Goertzel). */
export function tonePower(samples: Int16Array, sampleRate: number, hz: number, from = 0, to = samples.length): number {
  const w = (2 * Math.PI * hz) / sampleRate;
  const k = 2 * Math.cos(w);
  let s1 = 0;
  let s2 = 0;
  for (let i = from; i < to; i += 1) {
    const s0 = (samples[i] ?? 0) + k * s1 - s2;
    s2 = s1;
    s1 = s0;
  }
  const n = to - from;
  return n === 0 ? 0 : (2 * (s1 * s1 + s2 * s2 - k * s1 * s2)) / (n * n);
}

function meanSquare(samples: Int16Array, from: number, to: number): number {
  let sum = 0;
  for (let i = from; i < to; i += 1) sum += (samples[i] ?? 0) ** 2;
  return to > from ? sum / (to - from) : 0;
}

function dbfs(power: number): number {
  return power <= 0 ? -96 : Math.max(-96, 10 * Math.log10((2 * power) / (FULL_SCALE * FULL_SCALE)));
}

/** Where the loudest 200 ms begin, so that a pause in the middle does not hide the tone around it. */
function loudestStart(samples: Int16Array, length: number): number {
  let loudest = 0;
  let most = -1;
  for (let at = 0; at === 0 || at + length <= samples.length; at += Math.max(1, length >> 1)) {
    const power = meanSquare(samples, at, Math.min(samples.length, at + length));
    if (power <= most) continue;
    most = power;
    loudest = at;
  }
  return loudest;
}

/** The strongest frequency between 80 Hz and 90 % of the Nyquist frequency, to about 1 Hz, in the loudest 200 ms. */
export function strongestFrequency(samples: Int16Array, sampleRate: number): number {
  const length = Math.round(sampleRate / 5);
  const from = loudestStart(samples, length);
  const to = Math.min(samples.length, from + length);
  let best = 0;
  let bestPower = 0;
  const consider = (hz: number): void => {
    const power = tonePower(samples, sampleRate, hz, from, to);
    if (power > bestPower) {
      best = hz;
      bestPower = power;
    }
  };
  for (let hz = 80; hz < sampleRate * 0.45; hz += 4) consider(hz);
  const coarse = best;
  for (let hz = coarse - 4; hz <= coarse + 4; hz += 0.5) consider(hz);
  return dbfs(bestPower) < SILENCE_DBFS ? 0 : Math.round(best);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((x, y) => x - y);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/** One window's tone against the rest of it, dB. */
function windowSnr(samples: Int16Array, sampleRate: number, hz: number, from: number, to: number): number {
  const total = meanSquare(samples, from, to);
  const tone = Math.min(tonePower(samples, sampleRate, hz, from, to), total);
  const rest = Math.max(total - tone, 1e-9 * total, 1e-6);
  return Math.min(90, 10 * Math.log10(Math.max(tone, 1e-6) / rest));
}

/** Length in samples of a window that holds a whole number of periods, so that nothing leaks into the rest. */
function windowLength(sampleRate: number, hz: number): number {
  const wanted = (sampleRate * WINDOW_MS) / 1000;
  if (hz <= 0) return Math.round(wanted);
  const period = sampleRate / hz;
  return Math.max(1, Math.round(Math.round(wanted / period) * period));
}

/**
 * Longest absence of a tone, in 10 ms steps, after it was first there. It is there where a step has at least a tenth of the
 * power of the loud steps: the whole stretch would be no measure, as a jump of phase makes its halves cancel each other out.
 */
function longestGap(samples: Int16Array, sampleRate: number, hz: number): number {
  const step = Math.round(sampleRate / 100);
  const powers: number[] = [];
  for (let at = 0; at + step <= samples.length; at += step)
    powers.push(tonePower(samples, sampleRate, hz, at, at + step));
  const loud = powers.toSorted((x, y) => x - y)[Math.floor(powers.length * 0.9)] ?? 0;
  let started = false;
  let gap = 0;
  let longest = 0;
  for (const power of powers) {
    if (power >= loud / 10) {
      started = true;
      gap = 0;
    } else if (started) {
      gap += 10;
      longest = Math.max(longest, gap);
    }
  }
  return longest;
}

/** What is heard in a stretch of PCM; `expectedHz` is measured where it is given, else the strongest frequency. */
export function listen(samples: Int16Array, sampleRate: number, expectedHz?: number): ToneReport {
  const heardMs = Math.round((samples.length * 1000) / sampleRate);
  const levelDbfs = dbfs(meanSquare(samples, 0, samples.length));
  const hz = strongestFrequency(samples, sampleRate);
  const wanted = expectedHz ?? hz;
  if (hz === 0 || samples.length === 0) return { hz: 0, levelDbfs, snrDb: -90, longestGapMs: heardMs, heardMs };
  const length = windowLength(sampleRate, wanted);
  const ratios: number[] = [];
  for (let at = 0; at + length <= samples.length; at += length) {
    ratios.push(windowSnr(samples, sampleRate, wanted, at, at + length));
  }
  return { hz, levelDbfs, snrDb: median(ratios), longestGapMs: longestGap(samples, sampleRate, wanted), heardMs };
}
