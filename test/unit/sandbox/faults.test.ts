import { beforeEach, expect, test } from "vitest";
import { Faults } from "#sandbox/faults.ts";
import type { Fault } from "#sandbox/meta/faults.ts";
import type { Action } from "#sandbox/meta/rule.ts";
import { seededRandom } from "#sandbox/random.ts";
import { Bench } from "./support.ts";

let bench: Bench;

beforeEach(() => {
  bench = new Bench();
});

test.each([
  [138004, 500, true],
  [138007, 500, true],
  [131000, 500, true],
  [131016, 503, true],
  [130429, 429, undefined],
  [4, 429, undefined],
] as const)("G34: %i with HTTP %i on demand, once, and nothing happens to the call", (error, status, transient) => {
  const { call, seen } = bench.place();
  bench.faults.next("pre_accept", { kind: "error", error, details: "on demand" });
  const answer = bench.answering("pre_accept", call.wacid);
  expect(answer.status).toBe(status);
  expect(answer.body["error"]).toMatchObject({
    code: error,
    message: expect.stringMatching(new RegExp(`^\\(#${error}\\) `)),
    error_data: { details: "on demand" },
  });
  expect((answer.body["error"] as Record<string, unknown>)["is_transient"]).toBe(transient);
  expect(seen).toEqual([]);
  expect(bench.answering("pre_accept", call.wacid).status).toBe(200);
});

test("G34: an answer that is lost after the call was accepted; the repetition is refused", () => {
  const { call, seen } = bench.place();
  bench.faults.next("accept", { kind: "answer_lost" });
  expect(bench.answering("accept", call.wacid).reply.kind).toBe("hang_up");
  expect(seen).toEqual(["picked up"]);
  expect(bench.relay.told).toEqual(["answer", "accept"]);
  expect(bench.answering("accept", call.wacid).status).toBe(400);
  expect(bench.log.violations("G14")).toHaveLength(1);
});

test("G34: a request that is lost, and one that gets no answer, do nothing", () => {
  const { call, seen } = bench.place();
  bench.faults.next("accept", { kind: "request_lost" });
  bench.faults.next("accept", { kind: "silent" });
  expect(bench.answering("accept", call.wacid).reply.kind).toBe("hang_up");
  expect(bench.answering("accept", call.wacid).reply.kind).toBe("silent");
  expect(seen).toEqual([]);
  expect(bench.log.requests("accept").map((entry) => entry.status)).toEqual([0, 0]);
});

test("G34: a slow answer is made at once and told late", () => {
  const { call } = bench.place();
  bench.faults.next("pre_accept", { kind: "slow", delayMs: 3_000 });
  expect(bench.answering("pre_accept", call.wacid).reply).toMatchObject({ status: 200, delayMs: 3_000 });
  expect(bench.relay.told).toEqual(["answer"]);
});

test("faults come in the order they were asked for, for one action or any, until they are cleared", () => {
  const faults = new Faults<Action, Fault>(seededRandom(1));
  const slow = { kind: "slow", delayMs: 1 } as const;
  const lost = { kind: "answer_lost" } as const;
  faults.next("accept", slow, 2);
  faults.next("any", lost);
  expect([faults.take("accept"), faults.take("reject"), faults.take("accept"), faults.take("accept")]).toEqual([
    slow,
    lost,
    slow,
    undefined,
  ]);
  faults.always("terminate", lost);
  expect([faults.take("terminate"), faults.take("terminate"), faults.take("accept")]).toEqual([lost, lost, undefined]);
  faults.clear();
  expect(faults.take("terminate")).toBeUndefined();
});

test("faults by chance keep to their ratio, and the same seed brings the same ones", () => {
  const draw = (): (string | undefined)[] => {
    const faults = new Faults<Action, Fault>(seededRandom(9));
    faults.sometimes(0.2, [{ kind: "silent" }, { kind: "answer_lost" }]);
    return Array.from({ length: 1000 }, () => faults.take("accept")?.kind);
  };
  const drawn = draw();
  expect(drawn).toEqual(draw());
  expect(drawn.filter((kind) => kind !== undefined).length).toBeGreaterThan(150);
  expect(drawn.filter((kind) => kind !== undefined).length).toBeLessThan(250);
});
