import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { listen } from "#core/audio/tone.ts";
import type { UserCall } from "#sandbox/phone/user-call.ts";
import { OGG_SAMPLE_RATE, toneFile } from "#test/support/ogg-opus.ts";
import { absent } from "#test/support/peers.ts";
import { PionRelay } from "#test/support/pion-relay.ts";
import { eventually, TestWorld } from "#test/support/world.ts";

const VOICE_HZ = 440;
/** How long a call is let talk before it is judged. */
const TALK_MS = 2_500;
const WINDOW_MS = 1_000;

describe.skipIf(absent("pion"))("Pion as Meta's relay (skipped without PONTE_PION)", () => {
  let world: TestWorld;
  let relay: PionRelay;

  beforeAll(async () => {
    relay = new PionRelay(await toneFile(VOICE_HZ, 10));
    const numbers = {
      "echo, Opus": { target: "600", trunk: "opus" },
      "echo, PCMU": { target: "600", trunk: "pcmu" },
      digits: { target: "610", trunk: "pcma" },
      "500 Hz": { target: "602500", trunk: "pcmu" },
      "700 Hz": { target: "602700", trunk: "pcma" },
      "900 Hz": { target: "602900", trunk: "pcmu" },
    } as const;
    world = await TestWorld.start({ numbers, relay });
    world.meta.log.watch((entry) => {
      if (entry.kind !== "request" || entry.action !== "pre_accept") return;
      relay.tell((entry.body as { readonly session: { readonly sdp: string } }).session.sdp);
    });
  }, 120_000);

  afterAll(() => world?.stop());

  interface PionCall {
    readonly id: string;
    readonly call: UserCall;
  }

  async function place(name: string): Promise<PionCall> {
    await relay.prepare(1);
    const call = await world.call(name);
    return { call, id: relay.opened.at(-1) ?? "" };
  }

  /** Hangs up, and asserts what is on record. */
  async function finish({ call, id }: PionCall): Promise<void> {
    const { lost, longestGapMs, state } = await relay.report(id);
    expect({ state, lost }).toEqual({ state: "connected", lost: 0 });
    expect(longestGapMs).toBeLessThan(500);
    call.hangUp();
    const { row, graph } = await world.story(call.wacid);
    expect(row).toMatchObject({ result: "completed", ended_by: "caller", cause: "hangup" });
    expect(row["evidence"]).toHaveProperty("two_way");
    expect(graph).toEqual(["pre_accept 200", "accept 200"]);
  }

  /** Asserts that a call has heard a tone for a second without a hole; the machine may spoil some of the seconds. */
  async function expectHeard(id: string, hz: number): Promise<void> {
    const samples = await relay.heard(id);
    const length = (OGG_SAMPLE_RATE * WINDOW_MS) / 1_000;
    const reports = [];
    for (let at = 0; at + length <= samples.length; at += length / 2) {
      const report = listen(samples.subarray(at, at + length), OGG_SAMPLE_RATE, hz);
      if (Math.abs(report.hz - hz) <= 3 && report.snrDb > 15 && report.longestGapMs <= 60) return;
      reports.push(report);
    }
    expect(reports, `${hz} Hz without a hole`).toBe("heard");
  }

  test.each(["echo, Opus", "echo, PCMU"])("%s: Pion hears its own voice come back", async (name) => {
    const placed = await place(name);
    expect(await placed.call.answered).toBe(true);
    await pause(TALK_MS);
    await expectHeard(placed.id, VOICE_HZ);
    await finish(placed);
  });

  test("digits arrive at the PBX once each and in order, and come back", async () => {
    const placed = await place("digits");
    expect(await placed.call.answered).toBe(true);
    await pause(300);
    await relay.press(placed.id, "1590");
    const heard = await eventually("the digits' coming back", async () => {
      const { digits } = await relay.report(placed.id);
      return digits.length >= 4 ? digits : { missing: digits };
    });
    expect(heard).toBe("1590");
    placed.call.hangUp();
    const { row } = await world.story(placed.call.wacid);
    expect(row["media_stats"]).toMatchObject({ a: { digits_in: 4 } });
  });

  test("five calls at once over the relay's one port: each hears its own PBX and nobody else's", async () => {
    const wanted = [
      ["500 Hz", 500],
      ["echo, PCMU", VOICE_HZ],
      ["700 Hz", 700],
      ["echo, Opus", VOICE_HZ],
      ["900 Hz", 900],
    ] as const;
    const placed: PionCall[] = [];
    for (const [name] of wanted) placed.push(await place(name));
    for (const { call } of placed) expect(await call.answered).toBe(true);
    await pause(TALK_MS);
    for (const [n, { id }] of placed.entries()) await expectHeard(id, wanted[n]?.[1] ?? 0);
    for (const each of placed) await finish(each);
  });
});
