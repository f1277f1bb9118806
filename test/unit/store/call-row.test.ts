import { expect, test } from "vitest";
import type { Call } from "#core/call/call.ts";
import { mergeRows, rowOf, tombstoneRow } from "#store/call-row.ts";
import { json } from "#store/json.ts";
import { aCall, NOW } from "#test/support/calls.ts";

const route = { handler: "bridge", trunk: "office", target: "600" } as const;

function ended(changes: Partial<Extract<Call, { state: "ended" }>> = {}): Call {
  const { id, offer, receivedAt, limits, evidence } = aCall();
  const disposition = { result: "busy", by: "pbx", cause: "pbx_busy", sipStatus: 486, q850: 17 } as const;
  return { id, offer, receivedAt, limits, evidence, state: "ended", disposition, endedAt: NOW + 5_000, ...changes };
}

test("a call that went from offer to end before its first statement keeps what each state knew", () => {
  const { id, offer, receivedAt, limits, evidence } = aCall();
  const dialing = {
    ...{ id, offer, receivedAt, limits, evidence, route },
    ...({ state: "dialing", answer: "v=0", b: "trying", mediaUp: false } as const),
  };
  const steps = [
    rowOf(aCall(), []),
    rowOf(dialing, [{ at: NOW + 300, type: "call.pre_accepted", data: {} }], { timings: { answer_ready_ms: 12 } }),
    rowOf(ended(), []),
  ];
  const row = steps.reduce(mergeRows);
  expect(row).toMatchObject({
    state: "ended",
    trunk: "office",
    target: "600",
    result: "busy",
    sip_status: 486,
    q850_cause: 17,
    pre_accepted_at: new Date(NOW + 300).toISOString(),
    ended_at: new Date(NOW + 5_000).toISOString(),
    timings: { answer_ready_ms: 12 },
  });
});

test("what the SDP and the answer hold stays out of the row", () => {
  expect(json(rowOf(aCall(), []))).not.toContain("ice-pwd");
});

test("Meta's own account goes into columns of its own", () => {
  const summary = { status: "FAILED", endTime: NOW, durationS: 20, errorCode: 138021, errorTitle: "No media" } as const;
  expect(rowOf(ended({ summary }), [])).toMatchObject({
    meta_status: "FAILED",
    meta_start_at: undefined,
    meta_end_at: new Date(NOW).toISOString(),
    meta_duration_s: 20,
    meta_error_code: 138021,
  });
});

test("a refused call was handled by refusing it", () => {
  const disposition = { result: "rejected", by: "ponte", cause: "calling_disabled" } as const;
  expect(rowOf(ended({ disposition }), [])).toMatchObject({ handler: "reject" });
});

test("a tombstone is an ended call that nobody picked up", () => {
  expect(tombstoneRow("id", "wacid.x", "1", NOW)).toMatchObject({
    state: "ended",
    tombstone: true,
    result: "cancelled",
  });
});

test("text that Postgres cannot store is mended, not refused", () => {
  expect(json({ name: "A\u0000na \ud83d", nested: ["\u0000"] })).toBe('{"name":"Ana \ufffd","nested":[""]}');
});
