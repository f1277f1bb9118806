import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { demoNumbers } from "#sandbox/numbers.ts";
import { SyntheticUsers } from "#sandbox/phone/synthetic-user.ts";
import { createLog } from "#src/log.ts";
import { SandboxWorld } from "#src/sandbox-world.ts";
import type { Bench, Figure } from "./report.ts";

/**
 * Call set-up through a whole daemon with its database, at two rates. The simulated Meta, the PBX and the callers share the
 * process, so CPU per call counts them too; what matters is how much worse the higher rate is.
 */

const WARM_UP_CALLS = 20;
const PHASES = [
  { perSecond: 1, calls: 10 },
  { perSecond: 20, calls: 100 },
] as const;

interface Phase {
  /** Medians and 99th percentiles over the calls, ms. */
  readonly preAccept: Spread;
  readonly answer: Spread;
  readonly keys: Spread;
  readonly cpuMsPerCall: number;
}

interface Spread {
  readonly p50: number;
  readonly p99: number;
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((x, y) => x - y);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { p50: at(0.5), p99: at(0.99) };
}

/** Times of each call, collected from the simulated Meta and from ponte's own timeline. */
class Collector {
  readonly preAccept: number[] = [];
  readonly answer: number[] = [];
  readonly keys: number[] = [];
  readonly #world: SandboxWorld;
  readonly #times = new Map<string, Map<string, number>>();
  readonly #stop: () => void;

  constructor(world: SandboxWorld) {
    this.#world = world;
    this.#stop =
      world.daemon.switchboard?.watch((callId, { at, type }) => {
        const times = this.#times.get(callId) ?? new Map<string, number>();
        times.set(type, at);
        this.#times.set(callId, times);
      }) ?? (() => undefined);
  }

  finish(wacids: ReadonlySet<string>): void {
    this.#stop();
    for (const times of this.#times.values()) {
      between(this.answer, times.get("call.received"), times.get("media_prepared"));
      between(this.keys, times.get("pre_accepted"), times.get("media_connected"));
    }
    const { log } = this.#world.meta;
    for (const webhook of log.webhooks("connect")) {
      const wacid = webhook.wacids[0];
      if (wacid === undefined || !wacids.has(wacid)) continue;
      const asked = log.requests("pre_accept").find((entry) => entry.wacid === wacid);
      between(this.preAccept, webhook.at - webhook.tookMs, asked?.at);
    }
  }
}

function between(into: number[], from: number | undefined, to: number | undefined): void {
  if (from !== undefined && to !== undefined) into.push(to - from);
}

async function place(users: SyntheticUsers, phoneNumberId: string): Promise<string> {
  const call = await users.call({ phoneNumberId });
  if (!(await call.answered)) throw new Error("a call was not answered");
  call.hangUp();
  await call.ended;
  return call.wacid;
}

async function phase(world: SandboxWorld, users: SyntheticUsers, perSecond: number, calls: number): Promise<Phase> {
  const number = demoNumbers.find(({ extension }) => extension === "600")?.id ?? "";
  const collector = new Collector(world);
  const cpu = process.cpuUsage();
  const placed: Promise<string>[] = [];
  for (let index = 0; index < calls; index += 1) {
    placed.push(place(users, number));
    await new Promise((resolve) => setTimeout(resolve, 1_000 / perSecond));
  }
  const wacids = new Set(await Promise.all(placed));
  await world.meta.idle();
  const { user, system } = process.cpuUsage(cpu);
  collector.finish(wacids);
  return {
    preAccept: spreadOf(collector.preAccept),
    answer: spreadOf(collector.answer),
    keys: spreadOf(collector.keys),
    cpuMsPerCall: (user + system) / 1_000 / calls,
  };
}

function figuresOf(perSecond: number, { preAccept, answer, keys, cpuMsPerCall }: Phase): Figure[] {
  const at = `at ${perSecond} call${perSecond === 1 ? "" : "s"}/s`;
  const spread = (name: string, { p50, p99 }: Spread): Figure => ({
    name: `${name} ${at}`,
    value: p50,
    unit: "ms",
    note: `p99 ${p99.toFixed(1)} ms`,
  });
  return [
    spread("webhook → pre_accept", preAccept),
    spread("offer → answer", answer),
    spread("answer → media keys", keys),
    { name: `CPU per call ${at}`, value: cpuMsPerCall, unit: "ms", note: "with Meta, PBX and caller in the process" },
  ];
}

async function run(log: (line: string) => void): Promise<readonly Figure[]> {
  // Made by the launcher, because as root Postgres runs as another user.
  const folder = join(tmpdir(), `ponte-bench-${randomBytes(6).toString("hex")}`);
  const quiet = createLog({ level: "error", pretty: false, redact: { phoneNumbers: "masked" } });
  const settings = { http: { port: 0 }, database: { data_dir: folder } };
  const world = new SandboxWorld({ log: quiet, version: "bench", settings });
  try {
    await world.start();
    const users = new SyntheticUsers(world.meta);
    await phase(world, users, 10, WARM_UP_CALLS);
    const phases: Phase[] = [];
    for (const { perSecond, calls } of PHASES) {
      log(`${calls} calls at ${perSecond} a second`);
      phases.push(await phase(world, users, perSecond, calls));
    }
    const ratio = (phases[1]?.preAccept.p50 ?? 0) / (phases[0]?.preAccept.p50 ?? 1);
    return [
      ...phases.flatMap((measured, index) => figuresOf(PHASES[index]?.perSecond ?? 0, measured)),
      { name: "webhook → pre_accept, 20/s against 1/s", value: ratio, unit: "×" },
    ];
  } finally {
    await world.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

export const setupBench: Bench = {
  name: "setup",
  says: "Setting calls up through a whole daemon: times as the simulated Meta and ponte's timeline see them.",
  run,
};
