import { afterAll, beforeAll, test } from "vitest";
import { LastingWorld } from "./many-calls.ts";

let world: LastingWorld;

beforeAll(async () => {
  world = await LastingWorld.start();
});
afterAll(() => world?.stop());

const look = { seconds: 0.3, brief: true };

/**
 * Gross leaks only, such as a media call or a codec that is kept; the long run with PONTE_REQUIRE_PEERS=1 looks closely. In the
 * main thread transactions and ended calls wait for their time, some 100 KB of each call with what is compiled meanwhile
 * (measured: 1.6 MB, and 160 KB in the worker).
 */
const limits = { main: 3_000_000, worker: 400_000 };

test("20 calls in one daemon leave nothing over, and memory stays flat", async () => {
  await world.place({ atOnce: 5, rounds: 2, look });
  await world.expectFlat(limits, () => world.place({ atOnce: 10, rounds: 1, look }));
});
