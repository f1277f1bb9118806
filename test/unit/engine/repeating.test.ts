import { expect, test } from "vitest";
import { sweepLostCalls } from "#engine/lost-calls.ts";
import { Repeating } from "#engine/repeating.ts";
import { FakeWorld, settle } from "#test/support/fake-world.ts";

function aChore(world: FakeWorld, task: () => Promise<void>): Repeating {
  return new Repeating({ name: "chore", everyMs: 1_000, task, clock: world.clock, log: world.log });
}

test("a chore is done at the start, and again after each pause, although it fails", async () => {
  const world = new FakeWorld();
  let runs = 0;
  const chore = aChore(world, async () => {
    runs += 1;
    if (runs === 2) throw new Error("away");
  });
  await chore.start();
  for (let i = 0; i < 3; i += 1) {
    world.clock.advance(1_000);
    await settle();
  }
  expect(runs).toBe(4);
  expect(world.log.lines.map((line) => line.level)).toEqual(["warn"]);
  await chore.stop();
  expect(world.clock.pending).toBe(0);
});

test("a chore that is stopped while it runs does not start again", async () => {
  const world = new FakeWorld();
  let finish: () => void = () => undefined;
  const chore = aChore(world, () => new Promise((resolve) => (finish = resolve)));
  const started = chore.start();
  const stopped = chore.stop();
  finish();
  await Promise.all([started, stopped]);
  expect(world.clock.pending).toBe(0);
});

test.each([
  ["offered", "reject"],
  ["preparing", "reject"],
  ["pre_accepting", "terminate"],
  ["bridged", "terminate"],
])("a lost call that was %s is ended at Meta by %s", async (state, action) => {
  const world = new FakeWorld();
  const lost = [{ id: "1", wacid: "wacid.x", channelId: "2", state }];
  await sweepLostCalls({ sweep: async () => lost, whatsapp: world.whatsapp, log: world.log });
  expect(world.told).toEqual([action]);
});
