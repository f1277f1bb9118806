import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Fastify from "fastify";
import { uuidV7 } from "#core/id.ts";
import { systemClock } from "#engine/system-clock.ts";
import type { EventIntakePort } from "#router/ports.ts";
import { createLog } from "#src/log.ts";
import { openStore, type Store } from "#store/store.ts";
import { serve } from "#test/bench/media/process.ts";
import { FakeHouse, startHttp } from "#test/support/http.ts";
import { FakeRouter } from "#test/support/http-router.ts";

/**
 * What takes the events: `bare` is fastify that parses a body and answers; `no_database` is our own route with an intake that
 * keeps nothing; `ponte` is the route with the real intake; `rows` is a row for each request, committed by itself, as a plain
 * insert of the same size.
 */
export type Kind = "bare" | "no_database" | "rows" | "ponte";
export interface ToSubject {
  readonly start: Kind;
}

const nothing: EventIntakePort = {
  accept: async (event) => ({ eventId: event.eventId, traceId: event.traceId, duplicate: false, conflict: false }),
};

const stops: (() => unknown)[] = [];

async function realStore(): Promise<Store> {
  const dataDir = join(tmpdir(), `ponte-bench-${process.pid}`);
  const log = createLog({ level: "error", pretty: false, redact: { phoneNumbers: "masked" } });
  const store = await openStore({ log, clock: systemClock, version: "bench", dataDir });
  stops.push(() => store.close().then(() => rmSync(dataDir, { recursive: true, force: true })));
  return store;
}

async function start(kind: Kind): Promise<number> {
  if (kind === "bare") {
    const app = Fastify();
    app.post("/api/events", async () => ({ ok: true }));
    const url = await app.listen({ host: "127.0.0.1", port: 0 });
    stops.push(() => app.close());
    return Number(new URL(url).port);
  }
  const store = kind === "no_database" ? undefined : await realStore();
  const parts = new FakeRouter(systemClock).parts();
  const intake = store === undefined ? nothing : kind === "rows" ? await rowByRow(store) : store.intake;
  const { port, server } = await startHttp(new FakeHouse(), { clock: systemClock, router: { ...parts, intake } });
  stops.unshift(() => server.stop());
  return port;
}

async function rowByRow({ database: { sql } }: Store): Promise<EventIntakePort> {
  await sql`create table bench_rows (id uuid primary key, key text unique not null, payload jsonb not null)`;
  return {
    accept: async (event) => {
      const id = uuidV7(Date.now(), crypto.getRandomValues(new Uint8Array(16)));
      await sql`insert into bench_rows values (${id}, ${event.externalId}, ${JSON.stringify(event.payload)}::text::jsonb)`;
      return { eventId: event.eventId, traceId: event.traceId, duplicate: false, conflict: false };
    },
  };
}

serve<ToSubject>(
  (message) => start(message.start),
  async () => {
    for (const stop of stops) await stop();
    process.exit(0);
  },
);
