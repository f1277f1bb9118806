import type { Endpoint, LoadCall, LoadResult, Memory, SubjectCall, ToLoad, ToSubject } from "./media/messages.ts";
import { Helper } from "./media/process.ts";
import type { Bench, Figure } from "./report.ts";

/**
 * The media plane against a plain echo relay on node:dgram. The load runs in another process; CPU is user and system time of the
 * measured process alone, over packets that really came out on the other side. Noise of the machine only ever adds, so of
 * interleaved repeats the best one counts, for both.
 */

const PASSTHROUGH_CALLS = 200;
/** As many as a core has to carry at 70 %. */
const TRANSCODED_CALLS = 90;
/** Long enough for the compiler to settle. */
const WARM_UP_MS = 4_000;
const MEASURE_MS = 3_000;
const REPEATS = 3;
/** A measurement in which the load could not keep up with itself, or packets were lost, says nothing and is made again. */
const MAX_ATTEMPTS = 3;
const TOLERANCE = 0.02;
const PACKETS_PER_CALL_AND_SECOND = 100;
/** Memory is compared between two numbers of calls, so that what a plane needs anyway does not count. */
const MEMORY_CALLS = [50, 250] as const;

interface Measured extends LoadResult {
  readonly cpuUsPerPacket: number;
  /** Share of one core. */
  readonly cpu: number;
  readonly disturbed: boolean;
}

type Codec = "opus" | "PCMU";

async function withPair<T>(work: (load: Helper<ToLoad>, subject: Helper<ToSubject>) => Promise<T>): Promise<T> {
  const load = new Helper<ToLoad>(new URL("./media/load.ts", import.meta.url));
  const profile = process.env["PONTE_CPU_PROFILE"];
  const profiling = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`];
  const subject = new Helper<ToSubject>(new URL("./media/subject.ts", import.meta.url), ["--expose-gc", ...profiling]);
  try {
    return await work(load, subject);
  } finally {
    await Promise.all([load.stop(), subject.stop()]);
  }
}

async function measure(load: Helper<ToLoad>, subject: Helper<ToSubject>): Promise<Measured> {
  await load.ask({ type: "run", ms: WARM_UP_MS });
  const before = await subject.ask<number>({ type: "cpu" });
  const startedAt = performance.now();
  const result = await load.ask<LoadResult>({ type: "run", ms: MEASURE_MS });
  const after = await subject.ask<number>({ type: "cpu" });
  const elapsedMs = performance.now() - startedAt;
  const cpuUs = after - before;
  // Packets go on in the moments around the run: what was used there is shared out by time.
  const during = (cpuUs * MEASURE_MS) / elapsedMs;
  return { ...result, cpuUsPerPacket: during / result.received, cpu: cpuUs / 1_000 / elapsedMs, disturbed: false };
}

/** Measures until the machine let the load work undisturbed; the last attempt counts however it was. */
async function undisturbed(calls: number, attempt: () => Promise<Measured>): Promise<Measured> {
  const expected = (calls * PACKETS_PER_CALL_AND_SECOND * MEASURE_MS) / 1_000;
  let measured = await attempt();
  for (let n = 1; n < MAX_ATTEMPTS && !isUndisturbed(measured, expected); n += 1) measured = await attempt();
  return { ...measured, disturbed: !isUndisturbed(measured, expected) };
}

function isUndisturbed({ sent, received }: Measured, expected: number): boolean {
  return Math.abs(sent - expected) < expected * TOLERANCE && Math.abs(received - sent) < sent * TOLERANCE;
}

export async function measureEcho(): Promise<Measured> {
  return await withPair(async (load, subject) => {
    const ports = await subject.ask<Endpoint[]>({ type: "echo", sockets: PASSTHROUGH_CALLS * 2 });
    await load.ask({ type: "prepare_echo", ports });
    return await measure(load, subject);
  });
}

async function setUp(load: Helper<ToLoad>, subject: Helper<ToSubject>, calls: number, codec: Codec): Promise<void> {
  const prepared = await load.ask<LoadCall[]>({ type: "prepare_calls", calls, codec });
  const opened = await subject.ask<SubjectCall[]>({ type: "open", calls: prepared });
  await load.ask({ type: "connect", calls: opened });
  await subject.ask({ type: "connect" });
}

export async function measureCalls(calls: number, codec: Codec): Promise<Measured> {
  return await withPair(async (load, subject) => {
    await setUp(load, subject, calls, codec);
    return await measure(load, subject);
  });
}

/** Bytes for each further call: live memory after garbage collection, and what the operating system counts. */
async function measureMemory(codec: Codec): Promise<MemoryOfCall> {
  const usages: Memory[] = [];
  for (const calls of MEMORY_CALLS) {
    await withPair(async (load, subject) => {
      await setUp(load, subject, calls, codec);
      await load.ask({ type: "run", ms: WARM_UP_MS });
      usages.push(await subject.ask<Memory>({ type: "memory" }));
    });
  }
  const [few, many] = usages;
  const more = MEMORY_CALLS[1] - MEMORY_CALLS[0];
  if (few === undefined || many === undefined) throw new Error("memory was not measured");
  return { live: (many.liveBytes - few.liveBytes) / more, rss: (many.rssBytes - few.rssBytes) / more };
}

/** The least CPU and the least delays of all repeats that were not disturbed, each for itself. */
function least(all: readonly Measured[]): Measured {
  const good = all.filter(({ disturbed }) => !disturbed);
  const chosen = good.length > 0 ? good : all;
  const cheapest = chosen.reduce((best, next) => (next.cpuUsPerPacket < best.cpuUsPerPacket ? next : best));
  const delay = chosen.map((one) => one.delay).reduce((best, next) => (next.p99 < best.p99 ? next : best));
  return { ...cheapest, delay };
}

/** Calls that 70 % of a core carry; each call has 100 packets a second. */
function callsPerCore({ cpuUsPerPacket }: Measured): number {
  return 0.7e6 / (cpuUsPerPacket * PACKETS_PER_CALL_AND_SECOND);
}

export const mediaBench: Bench = {
  name: "media",
  says: `CPU, delay and memory of the media plane with one worker; ${PASSTHROUGH_CALLS} calls passed through, ${TRANSCODED_CALLS} transcoded between Opus and PCMU.`,
  async run(log) {
    const runs: Record<"echo" | "passthrough" | "transcoded", Measured[]> = {
      echo: [],
      passthrough: [],
      transcoded: [],
    };
    for (let repeat = 0; repeat < REPEATS; repeat += 1) {
      runs.echo.push(await undisturbed(PASSTHROUGH_CALLS, measureEcho));
      runs.passthrough.push(await undisturbed(PASSTHROUGH_CALLS, () => measureCalls(PASSTHROUGH_CALLS, "opus")));
      runs.transcoded.push(await undisturbed(TRANSCODED_CALLS, () => measureCalls(TRANSCODED_CALLS, "PCMU")));
      for (const [name, all] of Object.entries(runs)) log(`${name}: ${describe(all.at(-1))}`);
    }
    const memory = await measureMemory("opus");
    const memoryTranscoded = await measureMemory("PCMU");
    return figuresOf(least(runs.echo), least(runs.passthrough), least(runs.transcoded), memory, memoryTranscoded);
  },
};

function describe(measured: Measured | undefined): string {
  if (measured === undefined) return "nothing";
  const { cpuUsPerPacket, cpu, sent, received, delay, disturbed } = measured;
  const loss = sent - received;
  return `${cpuUsPerPacket.toFixed(2)} µs a packet, ${(cpu * 100).toFixed(0)} % of a core, ${received} packets, ${loss} missing, delay ${delay.p50.toFixed(2)} / ${delay.p99.toFixed(2)} ms${disturbed ? ", disturbed" : ""}`;
}

interface MemoryOfCall {
  readonly live: number;
  readonly rss: number;
}

function figuresOf(
  echo: Measured,
  passed: Measured,
  transcoded: Measured,
  memory: MemoryOfCall,
  withCodec: MemoryOfCall,
): Figure[] {
  const share = (measured: Measured) =>
    `at ${(measured.cpu * 100).toFixed(0)} % of a core${measured.disturbed ? ", disturbed by the machine" : ""}`;
  return [
    { name: "echo relay, CPU a packet", value: echo.cpuUsPerPacket, unit: "µs", note: share(echo) },
    { name: "passthrough, CPU a packet", value: passed.cpuUsPerPacket, unit: "µs", note: share(passed) },
    {
      name: "passthrough against echo",
      value: passed.cpuUsPerPacket / echo.cpuUsPerPacket,
      unit: "×",
      must: { atMost: 1.6 },
    },
    { name: "passthrough, calls a core at 70 %", value: callsPerCore(passed), unit: "calls" },
    { name: "transcoded, CPU a packet", value: transcoded.cpuUsPerPacket, unit: "µs", note: share(transcoded) },
    {
      name: `${TRANSCODED_CALLS} transcoded calls, share of a core`,
      value: transcoded.cpu * 100,
      unit: "%",
      must: { atMost: 70 },
    },
    { name: "echo, delay p50", value: echo.delay.p50, unit: "ms" },
    { name: "echo, delay p99", value: echo.delay.p99, unit: "ms" },
    { name: "passthrough, delay p50", value: passed.delay.p50, unit: "ms" },
    { name: "passthrough, delay p99", value: passed.delay.p99, unit: "ms" },
    { name: "passthrough, added delay p99", value: passed.delay.p99 - echo.delay.p99, unit: "ms", must: { atMost: 5 } },
    { name: "transcoded, delay p50", value: transcoded.delay.p50, unit: "ms" },
    { name: "transcoded, delay p99", value: transcoded.delay.p99, unit: "ms" },
    { name: "passthrough, lost", value: Math.max(0, 100 * (1 - passed.received / passed.sent)), unit: "%" },
    { name: "memory a call, live", value: memory.live / 1_024, unit: "KB", must: { atMost: 100 } },
    { name: "memory a call, resident", value: memory.rss / 1_024, unit: "KB", must: { atMost: 100 } },
    { name: "memory a transcoded call, resident", value: withCodec.rss / 1_024, unit: "KB" },
  ];
}
