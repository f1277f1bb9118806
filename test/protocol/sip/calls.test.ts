import { afterEach, describe, expect, test } from "vitest";
import { DemoPbx } from "#sandbox/pbx/demo-pbx.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import { type Asterisk, asteriskReason, startAsterisk } from "./asterisk.ts";
import { Cleanup, dialRequest, fastClock, gaveUp, hungUp, startEdge, Told, type World } from "./support.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

interface Scenario {
  readonly number: string;
  readonly what: string;
  readonly expected: readonly string[];
  /** We hang up when this was told. */
  readonly hangUpAt?: RegExp;
  /** We hang up after this long, for a PBX that tells nothing. */
  readonly hangUpAfterMs?: number;
}

/** One list for every PBX: these numbers are the same everywhere. */
const scenarios: readonly Scenario[] = [
  { number: "600", what: "we hang up", hangUpAt: /^answered/, expected: ["answered opus", "ended by agent"] },
  { number: "601", what: "we hang up", hangUpAt: /^answered/, expected: ["answered PCMU", "ended by agent"] },
  { number: "602440", what: "we hang up", hangUpAt: /^answered/, expected: ["answered PCMU", "ended by agent"] },
  { number: "604", what: "we hang up", hangUpAt: /^answered/, expected: ["answered PCMU", "ended by agent"] },
  {
    number: "620",
    what: "hold and back",
    hangUpAt: /^offered PCMU sendrecv/,
    expected: ["answered PCMU", "offered PCMU sendonly", "offered PCMU sendrecv", "ended by agent"],
  },
  {
    number: "621",
    what: "re-INVITE to PCMU",
    hangUpAt: /^offered/,
    expected: ["answered PCMU", "offered PCMU sendrecv", "ended by agent"],
  },
  {
    number: "622",
    what: "re-INVITE to PCMA",
    hangUpAt: /^offered/,
    expected: ["answered PCMU", "offered PCMA sendrecv", "ended by agent"],
  },
  {
    number: "623",
    what: "UPDATE to PCMU",
    hangUpAt: /^offered/,
    expected: ["answered PCMU", "offered PCMU sendrecv", "ended by agent"],
  },
  { number: "640", what: "busy", expected: ["failed 486 q.850 17"] },
  { number: "641", what: "the caller gives up", hangUpAt: /^progress/, expected: ["progress 180", "failed 487"] },
  { number: "642", what: "no circuit", expected: ["failed 503 q.850 34"] },
  { number: "643", what: "unknown number", expected: ["failed 404 q.850 1"] },
  { number: "644", what: "forbidden", expected: ["failed 403 q.850 21"] },
  { number: "645", what: "early media, then busy", expected: ["progress 183 with sdp", "failed 486 q.850 17"] },
  { number: "646", what: "100 only, and the caller gives up", hangUpAfterMs: 300, expected: ["failed 487"] },
  {
    number: "650",
    what: "rings, answers",
    hangUpAt: /^answered/,
    expected: ["progress 180", "answered opus", "ended by agent"],
  },
  {
    number: "651",
    what: "early media, answers",
    hangUpAt: /^answered/,
    expected: ["progress 183 with sdp", "answered PCMU", "ended by agent"],
  },
  { number: "652", what: "the PBX hangs up", expected: ["answered PCMU", "ended by pbx q.850 16"] },
];

async function play(world: World, scenario: Scenario): Promise<readonly string[]> {
  const told = new Told();
  const disposition = scenario.hangUpAt?.source.includes("answered") ? hungUp : gaveUp;
  const leg = world.edge.dial(dialRequest(scenario.number), told);
  if (scenario.hangUpAfterMs !== undefined) setTimeout(() => void leg.hangUp(disposition), scenario.hangUpAfterMs);
  // A moment later, so that our answer to an offer is on its way first.
  if (scenario.hangUpAt !== undefined)
    void told.until(scenario.hangUpAt).then(() => setTimeout(() => void leg.hangUp(disposition), 20));
  await told.end();
  return told.lines;
}

function byNumber(lines: readonly (readonly string[])[]): Record<string, readonly string[]> {
  return Object.fromEntries(lines.map((each, index) => [scenarios[index]?.number ?? "", each]));
}

async function nothingLeft(world: World, timers: number): Promise<void> {
  await expect.poll(() => world.edge.counters()).toEqual({ legs: 0, dialogs: 0, replies: 0, transactions: 0 });
  expect(world.clock.pending).toBe(timers);
  expect(world.agent.counters().dialogs).toBe(0);
}

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

describe.skipIf(asteriskReason !== undefined)(`calls to Asterisk${asteriskReason ?? ""}`, () => {
  test("end as the number says, with and without digest", async () => {
    const asterisk: Asterisk = await startAsterisk(cleanup);
    const plain = await startEdge(cleanup, { port: asterisk.port });
    const account = { username: "ponte", password: "secret", callerIdentity: "p-asserted-identity" } as const;
    const digest = await startEdge(cleanup, { port: asterisk.port, ...account });
    const timers = plain.clock.pending;
    // This Asterisk is told to speak G.711 only.
    const expected = scenarios.map((scenario) => scenario.expected.map((line) => line.replace("opus", "PCMU")));
    const outcomes = await Promise.all(
      [plain, digest].map((world) => Promise.all(scenarios.map((scenario) => play(world, scenario)))),
    );
    expect(outcomes.map(byNumber)).toEqual([byNumber(expected), byNumber(expected)]);
    await nothingLeft(plain, timers);
    await nothingLeft(digest, timers);
  }, 60_000);
});
