import { afterAll, beforeAll, describe, test } from "vitest";
import { LastingWorld } from "./many-calls.ts";

const crowd = { atOnce: 20, look: { seconds: 1, brief: true } };
/** Alone a call has the machine to itself, so a shorter look tells as much. */
const lone = { atOnce: 1, look: { seconds: 0.25, brief: true } };

/**
 * Measured: the main thread keeps nothing, a worker 400 KB of code that was compiled meanwhile. Over 340 calls this sees what
 * keeps 6 KB of each in the main thread, or 1 KB in a worker.
 */
const limits = { main: 2_000_000, worker: 800_000 };

/** Minutes long, so it runs where peers are required, not in every run. */
describe.skipIf(process.env["PONTE_REQUIRE_PEERS"] !== "1")("many calls (PONTE_REQUIRE_PEERS=1)", () => {
  let world: LastingWorld;

  beforeAll(async () => {
    world = await LastingWorld.start();
  });
  afterAll(() => world?.stop());

  // SIP transactions live on for half a minute (RFC 3261 §17), and ended calls are remembered for two: before and after, memory
  // is looked at when calls have come one after the other for a while, so that what waits for its time is about the same.
  test("200 calls, 20 at once, and 200 one after the other leave nothing, and memory stays flat", {
    timeout: 600_000,
  }, async () => {
    await world.hearTone(lone.look);
    await world.place({ ...crowd, rounds: 1 });
    await world.place({ ...lone, rounds: 40 });
    await world.expectFlat(limits, async () => {
      await world.place({ ...crowd, rounds: 9 });
      await world.place({ ...lone, rounds: 160 });
    });
  });
});
