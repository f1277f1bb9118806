import type { EventId } from "#core/event/event.ts";
import type { JsonObject } from "#core/json.ts";
import type { Job, NewJob, Pool } from "#router/ports.ts";
import type { Sql } from "./client.ts";

/** A job on its way into a statement, as a member of a jsonb array. */
export interface JobInput {
  readonly ord: number;
  readonly lane: string;
  readonly pool: Pool;
  readonly target: string;
  readonly tenant_id: string;
  readonly handler: string;
  readonly payload: JsonObject;
  readonly event_id: string | null;
  readonly idem: string | null;
  readonly delay_ms: number;
}

export function jobInput(job: NewJob, ord: number): JobInput {
  return {
    ord,
    lane: job.lane,
    pool: job.pool,
    target: job.target,
    tenant_id: job.tenantId,
    handler: job.handler,
    payload: job.payload,
    event_id: job.eventId ?? null,
    idem: job.idem ?? null,
    delay_ms: job.delayMs ?? 0,
  };
}

/** The columns of a `jsonb_to_recordset` of job inputs. */
export function jobColumns(sql: Sql) {
  return sql`ord integer, lane text, pool text, target text, tenant_id uuid, handler text, payload jsonb, event_id text,
    idem text, delay_ms float8`;
}

/**
 * Two CTEs that add the jobs of the CTE `source`, which has the columns of `jobColumns`: `lanes` and `added`.
 *
 * The lanes come first and in the order of their keys. So no two statements wait for each other in a circle, and the ids of a
 * lane's jobs are given out while the lane is locked, in the order in which the lane counted them.
 */
export function addJobs(sql: Sql, source: string) {
  return sql`
    lanes as (
      insert into q_lanes as l (key, pool, target, tenant_id, next_at, seq)
      select lane, min(pool), min(target), min(tenant_id::text)::uuid, now() + min(delay_ms) * interval '1 millisecond', 1
      from ${sql(source)} where lane is not null group by lane order by lane
      on conflict (key) do update set
        seq = l.seq + 1, next_at = coalesce(l.next_at, excluded.next_at), touched_at = now()
      returning key
    ), added as (
      insert into q_jobs (lane, pool, target, tenant_id, handler, payload, event_id, idem, run_at)
      select g.lane, g.pool, g.target, g.tenant_id, g.handler, g.payload, g.event_id, g.idem,
        now() + g.delay_ms * interval '1 millisecond'
      from ${sql(source)} g join lanes on lanes.key = g.lane
      order by g.ord
      on conflict (idem) where idem is not null and state = 'queued' do nothing
      returning id
    )`;
}

export interface JobRow {
  readonly id: string;
  readonly lane: string;
  readonly pool: Pool;
  readonly target: string;
  readonly tenant_id: string;
  readonly handler: string;
  readonly payload: JsonObject;
  readonly event_id: EventId | null;
  readonly attempts: number;
  readonly last_error: string | null;
  readonly due: boolean;
}

export function jobOf(row: JobRow): Job {
  return {
    id: row.id,
    lane: row.lane,
    pool: row.pool,
    target: row.target,
    tenantId: row.tenant_id,
    handler: row.handler,
    payload: row.payload,
    attempts: row.attempts,
    ...(row.event_id === null ? {} : { eventId: row.event_id }),
    ...(row.last_error === null ? {} : { lastError: row.last_error }),
  };
}
