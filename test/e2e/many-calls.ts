import { setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { selftest } from "#src/selftest.ts";
import { collectLog } from "#test/support/log.ts";

/** A call keeps nothing. What the heap grows by, however many there were, is compiled code and noise of the collector. */
const MOST_GROWTH_BYTES = 4_000_000;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** What is weakly held, or waits for a socket to close, goes a moment after the first collection. */
async function heapBytes(): Promise<number> {
  for (let round = 0; round < 4; round += 1) {
    collectGarbage();
    await setTimeout(250);
  }
  return process.memoryUsage().heapUsed;
}

export interface ManyCalls {
  readonly atOnce: number;
  readonly rounds: number;
}

/** Places calls through the self-test; all are heard, nothing is left over, memory stays flat. */
export function manyCalls(name: string, { atOnce, rounds }: ManyCalls, limitMs: number): void {
  test(name, { timeout: limitMs }, async () => {
    // The first calls bring code and caches into memory.
    await place(atOnce, 1);
    const before = await heapBytes();
    await place(atOnce, rounds);
    expect((await heapBytes()) - before).toBeLessThan(MOST_GROWTH_BYTES);
  });
}

/** Reports and log lines are judged in here, so that they are not in memory when it is measured. */
async function place(calls: number, rounds: number): Promise<void> {
  const { log, lines } = collectLog();
  // Alone a call has the machine to itself, so a shorter look tells as much.
  const seconds = calls === 1 ? 0.3 : 1;
  const report = await selftest({ log, version: "test", calls, rounds, seconds, codec: "PCMU", brief: true });
  expect([report.toneCall, ...report.calls].flatMap((call) => call.problems)).toEqual([]);
  expect(report.leftOver).toEqual([]);
  expect(report.violations).toEqual([]);
  expect(report.calls).toHaveLength(calls * rounds);
  expect(lines().filter((line) => line["level"] === "error")).toEqual([]);
}
