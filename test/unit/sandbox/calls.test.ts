import { beforeEach, describe, expect, test } from "vitest";
import { ana, Bench, goodAnswer, number } from "./support.ts";

let bench: Bench;

beforeEach(() => {
  bench = new Bench();
});

const terminates = (): Record<string, unknown>[] => bench.events("terminate");

describe("a user-initiated call", () => {
  test("rings with pre_accept, is picked up with the 200 of accept, and ends once", () => {
    const { call, seen } = bench.place();
    expect(bench.answering("pre_accept", call.wacid).body).toEqual({ messaging_product: "whatsapp", success: true });
    expect(seen).toEqual(["ringing"]);
    expect(bench.relay.told).toEqual(["answer"]);
    expect(bench.answering("accept", call.wacid).status).toBe(200);
    expect(bench.relay.told).toEqual(["answer", "accept"]);
    bench.clock.advance(12_345);
    expect(bench.act("terminate", call.wacid).status).toBe(200);
    expect(seen).toEqual(["ringing", "picked up", "ended: hung_up by business"]);
    call.hangUp();
    expect(terminates()).toHaveLength(1);
    expect(bench.clock.pending).toBe(0);
  });

  test("can be accepted without pre_accept", () => {
    const { call, seen } = bench.place();
    expect(bench.answering("accept", call.wacid).status).toBe(200);
    expect(bench.relay.told).toEqual(["answer", "accept"]);
    expect(seen).toEqual(["picked up"]);
  });

  test("W7: connect carries what captures carry", () => {
    const { call } = bench.place();
    expect(bench.events("connect")).toEqual([
      {
        id: call.wacid,
        from: ana.number,
        to: number.displayPhoneNumber,
        from_user_id: ana.userId,
        event: "connect",
        timestamp: "1760681506",
        direction: "USER_INITIATED",
        cta_payload: "button/1",
        session: { sdp_type: "offer", sdp: expect.stringMatching(/^v=0\r\n/) },
      },
    ]);
    expect(call.wacid).toMatch(/^wacid\.[A-Za-z0-9+/]{90,110}={0,2}$/);
  });

  test.each([
    ["W8: rings out", () => bench.clock.advance(60_001), "ended: not_answered by whatsapp"],
    ["W9: is cancelled by the user", (hangUp: () => void) => hangUp(), "ended: cancelled by user"],
    ["is rejected", (_: () => void, wacid: string) => bench.act("reject", wacid), "ended: rejected by business"],
    [
      "is terminated while it rings",
      (_: () => void, wacid: string) => bench.act("terminate", wacid),
      "ended: rejected by business",
    ],
  ])("%s: COMPLETED without times", (_name, end, last) => {
    const { call, seen } = bench.place();
    bench.answering("pre_accept", call.wacid);
    end(call.hangUp, call.wacid);
    expect(seen.at(-1)).toBe(last);
    expect(terminates()).toEqual([expect.objectContaining({ id: call.wacid, status: "COMPLETED" })]);
    for (const name of ["start_time", "end_time", "duration", "errors"])
      expect(terminates()[0]).not.toHaveProperty(name);
    expect(bench.relay.told.at(-1)).toBe("close");
    expect(bench.clock.pending).toBe(0);
  });

  test("W4: after a pickup, times are strings of seconds and the duration is an integer", () => {
    const { call } = bench.place();
    bench.clock.advance(8_000);
    bench.answering("accept", call.wacid);
    bench.clock.advance(20_000);
    call.hangUp();
    expect(terminates()[0]).toMatchObject({
      status: "COMPLETED",
      timestamp: "1760681534",
      start_time: "1760681514",
      end_time: "1760681534",
      duration: 20,
    });
  });

  test("G15: rings for a time drawn from 30 to 60 s, another one for each call", () => {
    const rang = Array.from({ length: 20 }, () => {
      const { ends } = bench.place();
      const startedAt = bench.clock.now();
      while (ends.length === 0) bench.clock.advance(500);
      return bench.clock.now() - startedAt;
    });
    expect(Math.min(...rang)).toBeGreaterThanOrEqual(30_000);
    expect(Math.max(...rang)).toBeLessThanOrEqual(60_500);
    expect(new Set(rang).size).toBeGreaterThan(10);
  });

  test("W12: what accept gave comes back in terminate only", () => {
    const { call } = bench.place();
    bench.answering("pre_accept", call.wacid);
    bench.answering("accept", call.wacid, goodAnswer, { biz_opaque_callback_data: "ponte/1" });
    call.hangUp();
    expect(terminates()[0]).toMatchObject({ biz_opaque_callback_data: "ponte/1", cta_payload: "button/1" });
    expect(bench.events("connect")[0]).not.toHaveProperty("biz_opaque_callback_data");
  });

  test("M8: media before the 200 of accept starts the user's timer", () => {
    const { call, seen } = bench.place();
    bench.answering("pre_accept", call.wacid);
    bench.relay.events[0]?.onFirstRtp();
    expect(seen).toEqual(["ringing", "picked up"]);
    bench.clock.advance(70_000);
    expect(bench.answering("accept", call.wacid).status).toBe(200);
    expect(seen).toEqual(["ringing", "picked up"]);
  });

  test("a call beyond a thousand fails at the user without a webhook", () => {
    for (let i = 0; i < 1000; i += 1) bench.place();
    const { seen } = bench.place();
    bench.clock.advance(1);
    expect(seen).toEqual(["ended: unavailable by whatsapp"]);
    expect(bench.events("connect")).toHaveLength(1000);
  });

  test("stopping ends every call and leaves no timer", () => {
    const { seen } = bench.place();
    bench.calls.stop();
    bench.webhooks.stop();
    expect(seen).toEqual(["ended: failed by whatsapp"]);
    expect(bench.clock.pending).toBe(0);
  });
});

describe("W15: a call that failed", () => {
  const fail = (modes: NonNullable<Parameters<Bench["place"]>[0]>["modes"]): Record<string, unknown> => {
    const { call } = bench.place({ modes: modes ?? {} });
    bench.answering("accept", call.wacid);
    bench.clock.advance(20_000);
    bench.relay.events[0]?.onDead(138021, "nothing came");
    const body = bench.deliveries.at(-1)?.body as { entry: { changes: { value: Record<string, unknown> }[] }[] };
    return body.entry[0]?.changes[0]?.value ?? {};
  };
  const error = {
    code: 138021,
    title: "Media receive timeout",
    message: expect.stringContaining("not receiving any media"),
    error_data: { details: "nothing came" },
  };

  test("carries its errors in both places", () => {
    const value = fail({});
    expect(value).toMatchObject({ errors: [error], calls: [{ status: "FAILED", duration: 20, errors: [error] }] });
  });

  test("only in value", () => {
    const value = fail({ errors: "value_only" });
    expect(value).toMatchObject({ errors: [error] });
    expect((value["calls"] as object[])[0]).not.toHaveProperty("errors");
  });

  test("only with code and title", () => {
    const bare = { code: 138021, title: "Media receive timeout" };
    expect(fail({ errors: "code_and_title" })["errors"]).toEqual([bare]);
  });
});
