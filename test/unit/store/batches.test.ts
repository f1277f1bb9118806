import { expect, test } from "vitest";
import { PonteError } from "#core/error.ts";
import { Batches, persistently } from "#store/batches.ts";

const turn = () => new Promise((resolve) => setImmediate(resolve));
const refusal = (code: string) => Object.assign(new Error("refused"), { code });

interface Run {
  readonly items: readonly string[];
  readonly done: () => void;
  readonly fail: (error: Error) => void;
}

function batches(more: { readonly keyOf?: (item: string) => string; readonly maxQueued?: number } = {}) {
  const runs: Run[] = [];
  const under = new Batches<string, string>({
    name: "things",
    maxBatch: 3,
    maxQueued: 10,
    maxUnderWay: 2,
    limitMs: 5_000,
    run: (items) =>
      new Promise((resolve, reject) => {
        runs.push({ items, done: () => resolve(items.map((item) => item.toUpperCase())), fail: reject });
      }),
    ...more,
  });
  return { under, runs };
}

test("what comes at once goes in one statement, and what comes meanwhile with the next", async () => {
  const { under, runs } = batches();
  const results = Promise.all(["a", "b"].map((item) => under.put(item)));
  await turn();
  const others = Promise.all(["c", "d", "e", "f", "g"].map((item) => under.put(item)));
  await turn();
  await turn();
  // Two are under way at most, of three items at most.
  expect(runs.map((run) => run.items.join(""))).toEqual(["ab", "cde"]);
  runs[0]?.done();
  expect(await results).toEqual(["A", "B"]);
  await turn();
  expect(runs[2]?.items.join("")).toBe("fg");
  for (const run of runs) run.done();
  expect(await others).toEqual(["C", "D", "E", "F", "G"]);
  expect(under.waiting).toBe(0);
});

test("items of one key do not overtake each other", async () => {
  const { under, runs } = batches({ keyOf: (item) => item.slice(0, 1) });
  const all = ["x1", "x2"].map((item) => under.put(item));
  await turn();
  all.push(...["x3", "y1", "x4"].map((item) => under.put(item)));
  await turn();
  await turn();
  expect(runs.map((run) => run.items.join(" "))).toEqual(["x1 x2", "y1"]);
  runs[0]?.done();
  await turn();
  await turn();
  expect(runs[2]?.items.join(" ")).toBe("x3 x4");
  for (const run of runs) run.done();
  expect(await Promise.all(all)).toEqual(["X1", "X2", "X3", "Y1", "X4"]);
});

test("one item that is refused does not take its neighbours with it", async () => {
  const { under, runs } = batches();
  const outcomes = Promise.allSettled(["good", "bad", "fine"].map((item) => under.put(item)));
  await turn();
  runs[0]?.fail(refusal("23514"));
  await turn();
  for (const run of runs.slice(1)) run.items[0] === "bad" ? run.fail(refusal("23514")) : run.done();
  expect((await outcomes).map((outcome) => outcome.status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
});

test("what is left of a batch of which one was refused keeps the order of its keys", async () => {
  const { under, runs } = batches({ keyOf: (item) => item.slice(0, 1) });
  const outcomes = Promise.allSettled(["x1", "x2", "y1"].map((item) => under.put(item)));
  await turn();
  runs[0]?.fail(refusal("23514"));
  await turn();
  // x2 waits for the end of x1, whatever that is; y1 has nothing to do with them.
  expect(runs.slice(1).map((run) => run.items.join(" "))).toEqual(["x1", "y1"]);
  runs[1]?.fail(refusal("23514"));
  await turn();
  expect(runs.slice(3).map((run) => run.items.join(" "))).toEqual(["x2"]);
  for (const run of runs) run.done();
  expect((await outcomes).map((outcome) => outcome.status)).toEqual(["rejected", "fulfilled", "fulfilled"]);
});

test("when the database is away all are told at once", async () => {
  const { under, runs } = batches();
  const outcomes = Promise.allSettled(["a", "b"].map((item) => under.put(item)));
  await turn();
  runs[0]?.fail(refusal("ECONNREFUSED"));
  for (const outcome of await outcomes)
    expect(outcome).toMatchObject({ reason: { code: "store_unavailable", retryable: true } });
  expect(runs.length).toBe(1);
});

test("more than may wait is refused", async () => {
  const { under, runs } = batches({ maxQueued: 2 });
  const first = [under.put("a"), under.put("b")];
  await expect(under.put("c")).rejects.toMatchObject({ code: "store_overloaded", retryable: true });
  await turn();
  runs[0]?.done();
  await Promise.all(first);
});

test("a statement that collided is run again, one that is wrong is not", async () => {
  const codes = ["40P01", "55P03"];
  const told: string[] = [];
  const result = await persistently(async () => {
    const code = codes.shift();
    told.push(code ?? "done");
    if (code !== undefined) throw new PonteError("store_unavailable", "x", { cause: refusal(code), retryable: true });
    return 1;
  });
  expect([result, told]).toEqual([1, ["40P01", "55P03", "done"]]);
  await expect(persistently(() => Promise.reject(refusal("23505")))).rejects.toMatchObject({ code: "23505" });
});
