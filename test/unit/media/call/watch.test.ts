import { expect, test } from "vitest";
import type { SilenceFindings } from "#core/call/evidence.ts";
import { Watch } from "#media/call/watch.ts";

const NOTHING: SilenceFindings = {
  fromWhatsApp: 0,
  toWhatsApp: 0,
  fromPbx: 0,
  toPbx: 0,
  unauthenticated: 0,
  strangers: 0,
  pbxAddressSuspect: false,
};

function setUp(deadAfterMs = 30_000) {
  const told: string[] = [];
  const state = { findings: NOTHING, life: 0 };
  const watch = new Watch({
    findings: () => state.findings,
    signsOfLife: () => state.life,
    deadAfterMs,
    onEvidence: (step, at) => told.push(`${step} ${at}`),
    onSilenceCheck: (afterMs, found) => told.push(`check ${afterMs}: ${found.fromWhatsApp}/${found.fromPbx}`),
    onDead: (detail) => told.push(`dead: ${detail}`),
  });
  const run = (from: number, to: number): void => {
    for (let at = from; at <= to; at += 100) watch.tick(at);
  };
  return { watch, told, state, run };
}

test("each step is told once, with its first time; both heard make two ways", () => {
  const { watch, told } = setUp();
  watch.saw("ice", 1);
  watch.saw("ice", 2);
  watch.saw("first_pbx_rtp_in", 5);
  watch.saw("first_rtp_in", 7);
  watch.saw("first_rtp_in", 8);
  expect(told).toEqual(["ice 1", "first_pbx_rtp_in 5", "first_rtp_in 7", "two_way 7"]);
  expect(watch.isComplete).toBe(false);
  watch.saw("dtls", 2);
  watch.saw("first_rtp_out", 4);
  expect(watch.isComplete).toBe(true);
});

test("silence is judged at 2, 10 and 18 s after accept, from what came since", () => {
  const { watch, told, state, run } = setUp();
  state.findings = { ...NOTHING, fromPbx: 40 };
  run(0, 900);
  watch.start(1_000);
  state.findings = { ...NOTHING, fromPbx: 90 };
  state.life = 1;
  run(1_000, 60_000);
  expect(told.filter((line) => line.startsWith("check"))).toEqual([
    "check 2000: 0/50",
    "check 10000: 0/50",
    "check 18000: 0/50",
  ]);
});

test("once both are heard it is said, and nothing more", () => {
  const { watch, told, state, run } = setUp();
  watch.start(0);
  run(0, 3_000);
  state.findings = { ...NOTHING, fromPbx: 90, fromWhatsApp: 80 };
  run(3_000, 25_000);
  expect(told).toEqual(["check 2000: 0/0", "check 10000: 80/90"]);
});

test("a far end from which nothing came for 30 s is dead; one that answers consent is not", () => {
  const quiet = setUp();
  quiet.watch.start(0);
  for (let at = 0; at < 120_000; at += 4_000) {
    quiet.state.life += 1;
    quiet.run(at, at + 3_900);
  }
  expect(quiet.told.some((line) => line.startsWith("dead"))).toBe(false);

  const gone = setUp();
  gone.watch.start(0);
  gone.state.life = 3;
  gone.run(0, 29_000);
  expect(gone.told.some((line) => line.startsWith("dead"))).toBe(false);
  gone.run(29_100, 36_000);
  gone.run(36_100, 100_000);
  expect(gone.told.filter((line) => line.startsWith("dead"))).toEqual([
    "dead: nothing authentic came from WhatsApp for 30 s",
  ]);
});

test("nothing is judged before the call was accepted", () => {
  const { told, run } = setUp();
  run(0, 100_000);
  expect(told).toEqual([]);
});
