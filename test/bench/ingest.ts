import { type LoadResult, load } from "./ingest/load.ts";
import type { Kind, ToSubject } from "./ingest/subject.ts";
import { Helper } from "./media/process.ts";
import type { Bench, Figure } from "./report.ts";

/** Events taken by `POST /api/events` over 64 connections, answered after commit, against the same without a database. */

const CONNECTIONS = 64;
const WARM_UP_MS = 1_500;
const MEASURE_MS = 4_000;
const KINDS: readonly Kind[] = ["bare", "no_database", "rows", "ponte"];
/** Noise only ever takes away, so the best of interleaved rounds counts, for each. */
const ROUNDS = 2;

async function measure(kind: Kind): Promise<LoadResult> {
  const subject = new Helper<ToSubject>(new URL("./ingest/subject.ts", import.meta.url));
  try {
    const port = await subject.ask<number>({ start: kind });
    return await load(port, CONNECTIONS, WARM_UP_MS, MEASURE_MS);
  } finally {
    await subject.stop();
  }
}

async function run(log: (line: string) => void): Promise<readonly Figure[]> {
  const best = new Map<Kind, LoadResult>();
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const kind of KINDS) {
      const result = await measure(kind);
      log(`${kind}: ${result.perSecond.toFixed(0)}/s, p99 ${result.p99Ms.toFixed(1)} ms`);
      if (result.perSecond > (best.get(kind)?.perSecond ?? 0)) best.set(kind, result);
    }
  }
  const rate = (kind: Kind): number => best.get(kind)?.perSecond ?? 0;
  const note = (kind: Kind): string => `p99 ${(best.get(kind)?.p99Ms ?? 0).toFixed(1)} ms`;
  return [
    { name: "committed", value: rate("ponte"), unit: "events/s", note: note("ponte") },
    { name: "our route without a database", value: rate("no_database"), unit: "events/s", note: note("no_database") },
    { name: "fastify that only answers", value: rate("bare"), unit: "requests/s", note: note("bare") },
    { name: "a row for each request", value: rate("rows"), unit: "rows/s", note: note("rows") },
    {
      name: "committed against our route without a database",
      value: rate("ponte") / rate("no_database"),
      unit: "×",
      must: { atLeast: 0.5 },
    },
    { name: "committed against a row for each request", value: rate("ponte") / rate("rows"), unit: "×" },
  ];
}

export const ingestBench: Bench = {
  name: "ingest",
  says: "Events committed by POST /api/events at 64 connections, in one run with the same route without a database.",
  run,
};
