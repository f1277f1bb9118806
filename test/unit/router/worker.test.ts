import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PonteError } from "#core/error.ts";
import type { Job, NewJob } from "#router/ports.ts";
import { Stubborn } from "#router/stubborn.ts";
import { type JobEnd, Worker, type WorkerOptions } from "#router/worker.ts";
import { TENANT } from "#test/support/fake-router-values.ts";
import { FakeRouterWorld } from "#test/support/fake-router-world.ts";

const AWAY = new PonteError("store_unavailable", "the database is away", { retryable: true });
const LEASE_MS = 30_000;
const OTHER_TENANT = "00000000-0000-7000-8000-0000000000ff";

let world: FakeRouterWorld;
let stubborn: Stubborn;
let worker: Worker;
/** Another worker than the one that each test has, with other limits. */
let make: (more?: Partial<WorkerOptions>) => Worker;
let done: string[];
/** What the handler does with a job; by default it is done. */
let work: (job: Job) => Promise<JobEnd>;

beforeEach(() => {
  world = new FakeRouterWorld();
  const { queue, clock, log, random } = world;
  stubborn = new Stubborn(clock, log);
  done = [];
  work = async () => ({ result: "done" });
  const run = async (job: Job): Promise<JobEnd> => {
    const end = await work(job);
    done.push(String(job.payload["n"]));
    return end;
  };
  const handlers = { try: { run, effectOf: () => undefined } };
  const limits = { lanes: 4, lanesPerTarget: 4, lanesPerTenant: 4 };
  make = (more = {}) => new Worker({ pool: "send", queue, handlers, ...limits, stubborn, clock, log, random, ...more });
  worker = make();
});
afterEach(async () => {
  await worker.stop();
  expect(world.clock.pending).toBe(0);
});

function job(lane: string, n: number, handler = "try"): NewJob {
  return { lane, pool: "send", target: "t", tenantId: TENANT, handler, payload: { n: `${lane}${n}` } };
}

describe("a worker", () => {
  test("does the jobs of a lane in order and is woken by new ones", async () => {
    worker.start();
    await world.queue.add([job("a", 1), job("a", 2), job("b", 1)]);
    await world.settle();
    await world.queue.add([job("a", 3)]);
    await world.settle();
    expect(done.filter((name) => name.startsWith("a"))).toEqual(["a1", "a2", "a3"]);
    expect(done).toContain("b1");
    expect(world.queue.counts).toEqual({ queued: 0, dead: 0 });
  });

  test("stops a lane at a job that is to be tried again: what is behind it waits", async () => {
    let refusals = 1;
    work = async () => {
      refusals -= 1;
      return refusals >= 0 ? { result: "retry", delayMs: 300, error: "not now" } : { result: "done" };
    };
    await world.queue.add([job("a", 1), job("a", 2)]);
    worker.start();
    await world.settle();
    expect(done).toEqual(["a1"]);
    world.clock.advance(300);
    await world.settle();
    expect(done).toEqual(["a1", "a1", "a2"]);
  });

  test("finds by polling what nobody told it of", async () => {
    const { queue } = world;
    queue.onWork = () => () => undefined;
    worker.start();
    await world.settle();
    await queue.add([job("a", 1)]);
    await world.settle();
    expect(queue.counts.queued).toBe(1);
    world.clock.advance(1_000);
    await world.settle();
    expect(queue.counts.queued).toBe(0);
  });

  test("writes down what it did however long the store is away, and does it once", async () => {
    const finish = world.queue.finish.bind(world.queue);
    let failures = 5;
    world.queue.finish = async (completion) => {
      failures -= 1;
      if (failures >= 0) throw AWAY;
      return finish(completion);
    };
    worker.start();
    await world.queue.add([job("a", 1)]);
    for (let second = 0; second < 5; second += 1) {
      await world.settle();
      world.clock.advance(1_000);
    }
    await world.settle();
    expect(done).toEqual(["a1"]);
    expect(world.queue.finished).toEqual(["try done"]);
  });

  test("claims again when the store is back", async () => {
    const claim = world.queue.claim.bind(world.queue);
    let away = true;
    world.queue.claim = async (request) => {
      if (away) throw AWAY;
      return claim(request);
    };
    worker.start();
    await world.queue.add([job("a", 1)]);
    await world.settle();
    world.clock.advance(1_000);
    await world.settle();
    expect(done).toEqual([]);
    away = false;
    world.clock.advance(1_000);
    await world.settle();
    expect(done).toEqual(["a1"]);
    expect(world.log.lines.filter(({ message }) => message.includes("cannot claim"))).toHaveLength(1);
  });

  test("keeps its lease through a long job, and leaves the lane alone when it lost it", async () => {
    const ends: ((end: JobEnd) => void)[] = [];
    work = () => new Promise((resolve) => ends.push(resolve));
    worker.start();
    await world.queue.add([job("a", 1), job("a", 2)]);
    await world.settle();
    for (let third = 0; third < 6; third += 1) {
      world.clock.advance(LEASE_MS / 3);
      await world.settle();
    }
    expect(ends).toHaveLength(1);
    world.queue.renew = async () => false;
    world.queue.finish = async () => "lost";
    world.clock.advance(LEASE_MS / 3);
    await world.settle();
    ends[0]?.({ result: "done" });
    await world.settle();
    expect(done).toEqual(["a1"]);
    expect(world.queue.counts.queued).toBe(2);
  });

  test("tries a job whose handler crashes again later, and gives up what nobody can do", async () => {
    let crashes = 2;
    work = async () => {
      crashes -= 1;
      if (crashes >= 0) throw new Error("a bug");
      return { result: "done" };
    };
    worker.start();
    await world.queue.add([job("a", 1), job("b", 1, "nobody")]);
    for (let second = 0; second < 6; second += 1) {
      await world.settle();
      world.clock.advance(1_000);
    }
    await world.settle();
    expect(world.queue.finished.toSorted()).toEqual(["nobody dead", "try done", "try retry", "try retry"]);
    expect(world.log.lines.filter(({ level }) => level === "error")).toHaveLength(2);
  });

  test("ends the job at hand when it is stopped, and gives the rest of the lane back", async () => {
    const ends: ((end: JobEnd) => void)[] = [];
    work = () => new Promise((resolve) => ends.push(resolve));
    worker.start();
    await world.queue.add([job("a", 1), job("a", 2)]);
    await world.settle();
    const stopped = worker.stop();
    ends[0]?.({ result: "done" });
    await stopped;
    expect(done).toEqual(["a1"]);
    const [lane] = await world.queue.claim({
      pool: "send",
      lanes: 1,
      jobsPerLane: 9,
      leaseMs: LEASE_MS,
    });
    expect(lane?.jobs.map(({ payload }) => payload["n"])).toEqual(["a2"]);
  });

  test("stops although the store is away, as soon as it is told to give up", async () => {
    world.queue.finish = () => Promise.reject(AWAY);
    worker.start();
    await world.queue.add([job("a", 1)]);
    await world.settle();
    const stopped = worker.stop();
    await world.settle();
    stubborn.giveUp();
    await stopped;
    expect(world.queue.counts.queued).toBe(1);
  });

  test("claims of a target with a backlog no more than it has room for", async () => {
    worker = make({ lanes: 16, lanesPerTarget: 4, lanesPerTenant: 12 });
    const claim = world.queue.claim.bind(world.queue);
    let [claims, claimed, released, most, running] = [0, 0, 0, 0, 0];
    world.queue.claim = async (request) => {
      const lanes = await claim(request);
      claims += 1;
      claimed += lanes.length;
      return lanes;
    };
    const release = world.queue.release.bind(world.queue);
    world.queue.release = (lane) => {
      released += 1;
      return release(lane);
    };
    work = async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      return { result: "done" };
    };
    await world.queue.add(Array.from({ length: 400 }, (_, n) => job(`lane${n}/`, 1)));
    worker.start();
    // Nobody polls: a lane that ends makes room for the next.
    await expect.poll(() => done.length, { interval: 5 }).toBe(400);
    await world.settle();
    expect({ claimed, released, most }).toEqual({ claimed: 400, released: 400, most: 4 });
    expect(claims).toBeLessThanOrEqual(402);
  });

  test("leaves room for other tenants, however many targets one has", async () => {
    worker = make({ lanes: 8, lanesPerTarget: 2, lanesPerTenant: 6 });
    const ends: (() => void)[] = [];
    const begun: string[] = [];
    work = (one) => {
      begun.push(one.target);
      return new Promise((resolve) => ends.push(() => resolve({ result: "done" })));
    };
    const slow = ["s", "t", "u", "v"].flatMap((target) =>
      Array.from({ length: 3 }, (_, n) => ({ ...job(`${target}${n}/`, 1), target })),
    );
    await world.queue.add(slow);
    worker.start();
    await world.settle();
    expect(begun).toHaveLength(6);
    await world.queue.add([{ ...job("o/", 1), target: "other", tenantId: OTHER_TENANT }]);
    await world.settle();
    expect(begun.at(-1)).toBe("other");
    // What ends makes room for the tenant that waits.
    ends[0]?.();
    await world.settle();
    expect(begun).toHaveLength(8);
    while (ends.length > 0) {
      for (const end of ends.splice(0)) end();
      await world.settle();
    }
    expect(world.queue.counts.queued).toBe(0);
  });
});
