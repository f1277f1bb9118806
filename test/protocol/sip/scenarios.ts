import { expect } from "vitest";
import { dialRequest, gaveUp, hungUp, Told, type World } from "./support.ts";

export interface Scenario {
  readonly number: string;
  readonly what: string;
  readonly expected: readonly string[];
  /** We hang up when this was told. */
  readonly hangUpAt?: RegExp;
  /** We hang up after this long, for a PBX that tells nothing. */
  readonly hangUpAfterMs?: number;
}

/** One list for every PBX: these numbers are the same everywhere. */
export const scenarios: readonly Scenario[] = [
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

export async function play(world: World, scenario: Scenario): Promise<readonly string[]> {
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

export function byNumber(lines: readonly (readonly string[])[]): Record<string, readonly string[]> {
  return Object.fromEntries(lines.map((each, index) => [scenarios[index]?.number ?? "", each]));
}

export async function nothingLeft(world: World, timers: number): Promise<void> {
  await expect.poll(() => world.edge.counters()).toEqual({ legs: 0, dialogs: 0, replies: 0, transactions: 0 });
  expect(world.clock.pending).toBe(timers);
  expect(world.agent.counters().dialogs).toBe(0);
}
