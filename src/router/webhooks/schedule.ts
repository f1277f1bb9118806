const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Waits after the first, second, … failed attempt; a day and three hours together. */
export const RETRY_WAITS_MS: readonly number[] = [
  5 * SECOND,
  30 * SECOND,
  2 * MINUTE,
  10 * MINUTE,
  30 * MINUTE,
  HOUR,
  2 * HOUR,
  5 * HOUR,
  8 * HOUR,
  10 * HOUR,
];

/** So much more or less by chance, so that what failed together does not come back together. */
const JITTER = 0.2;

/**
 * How long to wait until the next attempt; undefined: give up.
 *
 * @param attempts that have failed, from 1.
 * @param chance 0 to 1.
 */
export function retryDelayMs(attempts: number, chance: number): number | undefined {
  const wait = RETRY_WAITS_MS[attempts - 1];
  return wait === undefined ? undefined : Math.round(wait * (1 - JITTER + 2 * JITTER * chance));
}
