import { PonteError } from "#core/error.ts";
import { type EventId, idempotencyKey, type NewEvent } from "#core/event/event.ts";
import type { Accepted, EventIntakePort } from "#router/ports.ts";
import { Batches } from "./batches.ts";
import type { Sql } from "./client.ts";
import { digestOf, eventInput } from "./event-row.ts";
import { json } from "./json.ts";
import { addJobs } from "./queue-jobs.ts";
import type { Wake } from "./wake.ts";

/** Events in one statement, and statements under way; measured as for webhook bodies. */
const MAX_BATCH = 256;
const MAX_UNDER_WAY = 2;

/** Events that may wait for their commit. Beyond that senders are told to come again. */
const MAX_QUEUED = 5_000;

/** Senders hang up after 10 to 20 s; an answer after this time would be a guess. */
const COMMIT_LIMIT_MS = 8_000;

interface Arrival {
  readonly event: NewEvent;
  readonly digest: string;
}

interface StoredRow {
  readonly ord: number;
  readonly event_id: EventId;
  readonly trace_id: string;
  readonly digest: string;
}

/** Takes events: each is committed with the job that routes it before its sender hears so. */
export class EventIntake implements EventIntakePort {
  readonly #sql: Sql;
  readonly #wake: Wake;
  readonly #arriving: Batches<Arrival, Accepted>;

  constructor({ sql, wake }: { readonly sql: Sql; readonly wake: Wake }) {
    this.#sql = sql;
    this.#wake = wake;
    this.#arriving = new Batches({
      name: "events",
      maxBatch: MAX_BATCH,
      maxQueued: MAX_QUEUED,
      maxUnderWay: MAX_UNDER_WAY,
      limitMs: COMMIT_LIMIT_MS,
      keyOf: ({ event }) => `${event.tenantId ?? ""}/${event.conversationKey}`,
      run: (arrivals) => this.#store(arrivals),
    });
  }

  /** For metrics: events that wait for their commit. */
  get waiting(): number {
    return this.#arriving.waiting;
  }

  async accept(event: NewEvent): Promise<Accepted> {
    try {
      return await this.#arriving.put({ event, digest: digestOf(event.payload) });
    } catch (error) {
      if (!(error instanceof PonteError) || error.retryable) throw error;
      throw new PonteError("event_refused", "the database does not take this event", { cause: error });
    }
  }

  /** One statement takes a key once: what comes twice in a batch and differs goes with a second one. */
  async #store(arrivals: readonly Arrival[]): Promise<readonly Accepted[]> {
    const first = new Map<string, Arrival>();
    const places: string[] = [];
    const others: Arrival[] = [];
    for (const arrival of arrivals) {
      const key = `${arrival.event.tenantId ?? ""} ${idempotencyKey(arrival.event)}`;
      const known = first.get(key);
      if (known === undefined) first.set(key, arrival);
      else if (known.digest !== arrival.digest) others.push(arrival);
      places.push(key);
    }
    const rows = await this.#insert([...first.values()]);
    const byKey = new Map([...first.keys()].map((key, ord) => [key, rows.get(ord)]));
    const conflicting = new Map<Arrival, Accepted>();
    if (others.length > 0) {
      const results = await this.#store(others);
      for (const [n, other] of others.entries()) {
        const result = results[n];
        if (result !== undefined) conflicting.set(other, result);
      }
    }
    return arrivals.map((arrival, n) => conflicting.get(arrival) ?? acceptedOf(arrival, byKey.get(places[n] ?? "")));
  }

  async #insert(arrivals: readonly Arrival[]): Promise<ReadonlyMap<number, StoredRow>> {
    const sql = this.#sql;
    const inputs = arrivals.map(({ event, digest }, ord) => eventInput(event, digest, ord));
    const rows = await sql<StoredRow[]>`
      with given as materialized (
        select *, null::text as idem from jsonb_to_recordset(${json(inputs)}::text::jsonb) as g (
          ord integer, event_id text, trace_id text, idempotency_key text, tenant_id uuid, source_system text,
          external_id text, event_type text, event_payload jsonb, payload_version integer, raw jsonb, digest text,
          provider text, channel_id text, conversation_key text, occurred_at timestamptz, received_at timestamptz,
          lane text, pool text, target text, handler text, payload jsonb, delay_ms float8)
      ), stored as (
        -- In the order of their keys, so that two statements with the same events do not wait for each other in a circle.
        insert into communication_events as e (event_id, trace_id, idempotency_key, tenant_id, source_system, external_id,
          event_type, payload, payload_version, raw, digest, provider, channel_id, conversation_key, occurred_at, received_at)
        select event_id, trace_id, idempotency_key, tenant_id, source_system, external_id, event_type, event_payload,
          payload_version, raw, decode(digest, 'hex'), provider, channel_id, conversation_key, occurred_at, received_at
        from given order by tenant_id, idempotency_key collate "C"
        on conflict (tenant_id, idempotency_key) do update
          set conflicts = e.conflicts + (e.digest <> excluded.digest)::int
        returning e.event_id, e.trace_id, e.tenant_id, e.idempotency_key, e.digest
      ), matched as materialized (
        select g.ord, s.event_id, s.trace_id, s.digest from given g
        join stored s on s.idempotency_key = g.idempotency_key and s.tenant_id is not distinct from g.tenant_id
      ), kept as (
        insert into event_conflicts (event_id, digest, payload, raw, received_at)
        select m.event_id, decode(g.digest, 'hex'), g.event_payload, g.raw, g.received_at
        from matched m join given g using (ord) where m.digest <> decode(g.digest, 'hex')
        order by m.event_id
        on conflict do nothing
      ), work as materialized (
        select g.* from given g join matched m on m.ord = g.ord and m.event_id = g.event_id
      ), ${addJobs(sql, "work")}
      select ord, event_id, trace_id, encode(digest, 'hex') as digest from matched`;
    // After the commit, so that a worker finds what it is woken for.
    if (rows.some((row) => row.event_id === arrivals[row.ord]?.event.eventId)) this.#wake.wake("route");
    return new Map(rows.map((row) => [row.ord, row]));
  }
}

function acceptedOf({ event, digest }: Arrival, row: StoredRow | undefined): Accepted {
  if (row === undefined) throw new PonteError("store_failed", "the database lost an event that it had just stored");
  return {
    eventId: row.event_id,
    traceId: row.trace_id,
    duplicate: row.event_id !== event.eventId,
    conflict: row.digest !== digest,
  };
}
