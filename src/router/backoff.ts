/** First wait after a failed attempt. */
const FIRST_MS = 1_000;
/** Longest wait: a target that comes back is noticed within it. */
const LONGEST_MS = 300_000;

/**
 * How long to wait before the next attempt: doubling, with a quarter of chance so that what failed together does not come back
 * together.
 *
 * @param attempts that have failed, from 1.
 * @param chance 0 to 1.
 */
export function backOff(attempts: number, chance: number): number {
  const base = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempts - 1, 20));
  return Math.round(base * (0.75 + chance * 0.5));
}

/** 0 to 1, of random bytes. */
export function chanceOf(random: Uint8Array): number {
  return ((random[0] ?? 0) * 256 + (random[1] ?? 0)) / 65_536;
}
