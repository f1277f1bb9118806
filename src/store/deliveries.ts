import type { EventId } from "#core/event/event.ts";
import { uuidV7 } from "#core/id.ts";
import type { Delivery, DeliveryAttempt, DeliveryStorePort, Page } from "#router/ports.ts";
import type { Sql } from "./client.ts";
import { cursorOf, cursorPart, isUuid, pageLimit, pageOf, readCursor } from "./page.ts";
import { given, telling } from "./reading.ts";
import type { Wake } from "./wake.ts";

/** What is kept of an answer, characters. */
const MAX_RESPONSE_LENGTH = 4_000;

/** For the first id of an instant. */
const NO_CHANCE = new Uint8Array(16);

interface DeliveryRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly endpoint_id: string;
  readonly event_id: EventId;
  readonly effect_key: string | null;
  readonly state: Delivery["state"];
  readonly created_at: Date;
  readonly next_at: Date | null;
  readonly settled_at: Date | null;
  /** `at` in milliseconds. */
  readonly attempts: readonly {
    readonly at: number;
    readonly took_ms: number;
    readonly status: number | null;
    readonly error: string | null;
    readonly response: string | null;
  }[];
}

export type DeliveryFilter = Parameters<DeliveryStorePort["list"]>[0];

export interface DeliveryStoreOptions {
  readonly sql: Sql;
  readonly wake: Wake;
  /** 16 random bytes. */
  readonly random: () => Uint8Array;
}

/** Events on their way to endpoints, and every attempt. */
export class DeliveryStore implements DeliveryStorePort {
  readonly #sql: Sql;
  readonly #wake: Wake;
  readonly #random: () => Uint8Array;

  constructor({ sql, wake, random }: DeliveryStoreOptions) {
    this.#sql = sql;
    this.#wake = wake;
    this.#random = random;
  }

  async begin(delivery: Parameters<DeliveryStorePort["begin"]>[0]): Promise<Delivery> {
    const { key, tenantId, endpointId, eventId, effectKey } = delivery;
    const sql = this.#sql;
    const id = uuidV7(Date.now(), this.#random());
    // A dead one that is begun again is under way again.
    const [row] = await telling(
      sql<{ readonly id: string }[]>`
        insert into deliveries as d (id, key, tenant_id, endpoint_id, event_id, effect_key)
        values (${id}, ${key}, ${tenantId}, ${endpointId}, ${eventId}, ${effectKey ?? null})
        on conflict (key) do update set
          state = case d.state when 'dead' then 'pending' else d.state end,
          settled_at = case d.state when 'dead' then null else d.settled_at end
        returning id`,
    );
    const [stored] = await this.#read(sql`d.id = ${row?.id ?? id}`, 1);
    if (stored === undefined) throw new Error("a delivery vanished between two statements");
    return stored;
  }

  async attempt(
    id: string,
    attempt: DeliveryAttempt,
    then: Parameters<DeliveryStorePort["attempt"]>[2],
  ): Promise<void> {
    const sql = this.#sql;
    const nextAt = then.state === "pending" ? new Date(then.nextAt) : null;
    await telling(
      sql`
        with moved as (
          update deliveries set state = ${then.state}, next_at = ${nextAt},
            settled_at = case when ${then.state} = 'pending' then null else now() end
          where id = ${id} returning id
        )
        insert into delivery_attempts (delivery_id, n, at, took_ms, status, error, response)
        select id, 1 + (select coalesce(max(n), 0) from delivery_attempts where delivery_id = ${id}),
          ${new Date(attempt.at)}, ${Math.round(attempt.tookMs)}, ${attempt.status ?? null}, ${attempt.error ?? null},
          ${attempt.response?.replaceAll("\u0000", "").toWellFormed().slice(0, MAX_RESPONSE_LENGTH) ?? null}
        from moved`,
    );
  }

  async get(tenantId: string, id: string): Promise<Delivery | undefined> {
    if (!isUuid(id)) return undefined;
    const [delivery] = await this.#read(this.#sql`d.tenant_id = ${tenantId} and d.id = ${id}`, 1);
    return delivery;
  }

  async list(query: DeliveryFilter): Promise<Page<Delivery>> {
    const sql = this.#sql;
    const limit = pageLimit(query.limit);
    const [after] = query.cursor === undefined ? [] : readCursor(query.cursor, cursorPart.uuid);
    if (query.endpointId !== undefined && !isUuid(query.endpointId)) return { items: [] };
    const rows = await this.#read(
      sql`d.tenant_id = ${query.tenantId}
        ${query.endpointId === undefined ? sql`` : sql`and d.endpoint_id = ${query.endpointId}`}
        ${query.state === undefined ? sql`` : sql`and d.state = ${query.state}`}
        ${query.eventId === undefined ? sql`` : sql`and d.event_id = ${query.eventId}`}
        ${after === undefined ? sql`` : sql`and d.id < ${after}::uuid`}`,
      limit + 1,
    );
    return pageOf(
      rows,
      limit,
      (row) => row,
      (row) => cursorOf(row.id),
    );
  }

  /**
   * Revives effects and jobs of dead deliveries. Their lanes are counted up, because a lane's holder relies on knowing all that
   * was added.
   */
  async replay(request: Parameters<DeliveryStorePort["replay"]>[0]): Promise<number> {
    const sql = this.#sql;
    if (request.id !== undefined && !isUuid(request.id)) return 0;
    if (request.endpointId !== undefined && !isUuid(request.endpointId)) return 0;
    const [row] = await telling(
      sql<{ readonly count: number }[]>`
        with chosen as materialized (
          select id, key, event_id from deliveries d
          where d.tenant_id = ${request.tenantId} and d.state = 'dead'
            ${request.id === undefined ? sql`` : sql`and d.id = ${request.id}`}
            ${request.endpointId === undefined ? sql`` : sql`and d.endpoint_id = ${request.endpointId}`}
            ${request.since === undefined ? sql`` : sql`and d.created_at >= ${new Date(request.since)}`}
            ${request.until === undefined ? sql`` : sql`and d.created_at < ${new Date(request.until)}`}
          order by d.id limit ${request.limit} for no key update skip locked
        ), jobs as materialized (
          select j.id, j.lane, c.id as delivery_id, c.key, c.event_id from q_jobs j
          join chosen c on j.payload ->> 'effect_key' = c.key
          where j.state = 'dead' and j.pool = 'deliver' and j.event_id = c.event_id
        ), lanes as (
          insert into q_lanes as l (key, pool, target, tenant_id, next_at, seq)
          select j.lane, min(q.pool), min(q.target), min(q.tenant_id::text)::uuid, now(), 1
          from jobs j join q_jobs q using (id) group by j.lane order by j.lane
          on conflict (key) do update set seq = l.seq + 1, next_at = coalesce(l.next_at, now()), touched_at = now()
          returning key
        ), revived as (
          update q_jobs q set state = 'queued', attempts = 0, run_at = now(), dead_at = null
          from jobs j join lanes on lanes.key = j.lane where q.id = j.id
          returning q.id
        ), planned as (
          update effects e set state = 'planned', error = null, settled_at = null
          from jobs j where e.key = j.key and e.state = 'dead'
          returning e.event_id
        ), told as (
          update communication_events c set
            effects_open = c.effects_open + n.count, effects_dead = c.effects_dead - n.count,
            status = 'routed', settled_at = null
          from (select event_id, count(*)::int as count from planned group by event_id) n
          where c.event_id = n.event_id
        ), moved as (
          update deliveries d set state = 'pending', next_at = now(), settled_at = null
          from jobs j where d.id = j.delivery_id returning d.id
        )
        select count(*)::int as count from moved`,
    );
    const count = row?.count ?? 0;
    if (count > 0) this.#wake.wake("deliver");
    return count;
  }

  /** Forgets those that began before `before` and whose events are gone. */
  async prune(before: Date, limit: number): Promise<number> {
    const gone = await telling(
      this.#sql`
        delete from deliveries where id in (
          select id from deliveries d
          where id < ${uuidV7(before.getTime(), NO_CHANCE)} and state <> 'pending'
            and not exists (select from communication_events c where c.event_id = d.event_id)
          order by id limit ${limit} for update skip locked)`,
    );
    return gone.count;
  }

  /** Deliveries of one event, for its trace. */
  ofEvent(eventId: EventId): Promise<readonly Delivery[]> {
    return this.#read(this.#sql`d.event_id = ${eventId}`, 1_000);
  }

  async #read(where: ReturnType<Sql>, limit: number): Promise<readonly Delivery[]> {
    const rows = await telling(
      this.#sql<DeliveryRow[]>`
        select d.id, d.tenant_id, d.endpoint_id, d.event_id, d.effect_key, d.state, d.created_at, d.next_at, d.settled_at, (
          select coalesce(jsonb_agg(jsonb_build_object('at', round(extract(epoch from a.at) * 1000), 'took_ms', a.took_ms,
            'status', a.status, 'error', a.error, 'response', a.response) order by a.n), '[]')
          from delivery_attempts a where a.delivery_id = d.id
        ) as attempts
        from deliveries d where ${where} order by d.id desc limit ${limit}`,
    );
    return rows.map(deliveryOf);
  }
}

function deliveryOf(row: DeliveryRow): Delivery {
  return {
    id: row.id,
    tenantId: row.tenant_id,
    endpointId: row.endpoint_id,
    eventId: row.event_id,
    ...given("effectKey", row.effect_key),
    state: row.state,
    attempts: row.attempts.map((attempt) => ({
      at: attempt.at,
      tookMs: attempt.took_ms,
      ...given("status", attempt.status),
      ...given("error", attempt.error),
      ...given("response", attempt.response),
    })),
    createdAt: row.created_at.getTime(),
    ...given("nextAt", row.next_at?.getTime()),
    ...given("settledAt", row.settled_at?.getTime()),
  };
}
