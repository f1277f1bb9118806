import type { Clock } from "#sandbox/clock.ts";
import type { Ear } from "./ear.ts";
import type { Mouth } from "./mouth.ts";

const BURST_HZ = 1000;
const BURST_MS = 80;
/** The echo of what was said before has to fade first. */
const QUIET_MS = 250;
/** Nobody would bear a longer delay than this in a conversation. */
const LONGEST_MS = 3_000;

/** Milliseconds from a burst's leaving the mouth to its reaching the ear; undefined when it did not. */
export async function roundTrip(clock: Clock, mouth: Mouth, ear: Ear): Promise<number | undefined> {
  mouth.silence();
  if (!(await ear.quiet(QUIET_MS, LONGEST_MS))) return undefined;
  const { promise: said, resolve } = Promise.withResolvers<number>();
  const heard = ear.nextSound(LONGEST_MS);
  mouth.burst(BURST_HZ, BURST_MS, () => resolve(clock.now()));
  const heardAt = await heard;
  return heardAt === undefined ? undefined : heardAt - (await said);
}
