import { afterEach, describe, expect, test } from "vitest";
import { DemoPbx } from "#sandbox/pbx/demo-pbx.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import { byNumber, nothingLeft, play, scenarios } from "./scenarios.ts";
import { Cleanup, fastClock, startEdge } from "./support.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

describe("calls to the demo PBX", () => {
  test.each(["udp", "tcp"] as const)("end as the number says, over %s, all at once", async (transport) => {
    const pbx = cleanup.add(new DemoPbx({ log: quietLog(), clock: fastClock(8) }), (each) => each.stop());
    const { port, tcpPort } = await pbx.start();
    const world = await startEdge(cleanup, { port: transport === "udp" ? port : tcpPort, transport });
    const timers = world.clock.pending;
    const outcomes = await Promise.all(scenarios.map((scenario) => play(world, scenario)));
    expect(byNumber(outcomes)).toEqual(byNumber(scenarios.map((scenario) => scenario.expected)));
    await nothingLeft(world, timers);
    await expect.poll(() => pbx.counters()).toEqual({ calls: 0, dialogs: 0 });
  });
});
