import type { Provider } from "#core/channel/channel.ts";
import { type CommunicationEvent, type EventId, type EventStatus, eventId } from "#core/event/event.ts";
import { isTypePattern, typePatternSource } from "#core/event/type-pattern.ts";
import { uuidV7 } from "#core/id.ts";
import type { JsonObject } from "#core/json.ts";
import { handler } from "#router/jobs.ts";
import type {
  EventFilter,
  EventLogPort,
  EventTrace,
  Page,
  PageQuery,
  ParkedEvents,
  ParkedEventsPort,
  ReplayRequest,
} from "#router/ports.ts";
import { Batches, persistently } from "./batches.ts";
import type { Sql } from "./client.ts";
import type { DeliveryStore } from "./deliveries.ts";
import { effectsOf } from "./effects.ts";
import { type EventRow, eventOf } from "./event-row.ts";
import { type MessageRow, messageColumns, messageOf } from "./message-row.ts";
import { cursorOf, cursorPart, pageLimit, pageOf, readCursor } from "./page.ts";
import { addJobs } from "./queue-jobs.ts";
import { given, telling } from "./reading.ts";
import type { Wake } from "./wake.ts";

/** Events that one replay may route again, and that one statement takes up of those that are parked. */
const MAX_REPLAY = 10_000;

/** Conflicting bodies and messages that a trace shows, and channels of nobody. */
const MAX_TRACE_ROWS = 100;

/** Events that the workers read in one statement. */
const MAX_LOAD_BATCH = 64;
/** More than all workers and pages of a node can ask for at once. */
const MAX_LOADS_QUEUED = 10_000;
const STATEMENT_LIMIT_MS = 10_000;

/** For the first id of an instant. */
const NO_CHANCE = new Uint8Array(16);

interface Loaded {
  readonly event: CommunicationEvent | undefined;
}

export interface EventLogOptions {
  readonly sql: Sql;
  readonly deliveries: DeliveryStore;
  readonly wake: Wake;
}

/** Reads what happened, and has it routed again. */
export class EventLog implements EventLogPort, ParkedEventsPort {
  readonly #sql: Sql;
  readonly #deliveries: DeliveryStore;
  readonly #wake: Wake;
  readonly #loading: Batches<EventId, Loaded>;

  constructor({ sql, deliveries, wake }: EventLogOptions) {
    this.#sql = sql;
    this.#deliveries = deliveries;
    this.#wake = wake;
    this.#loading = new Batches({
      name: "events to be read",
      maxBatch: MAX_LOAD_BATCH,
      maxQueued: MAX_LOADS_QUEUED,
      maxUnderWay: 3,
      limitMs: STATEMENT_LIMIT_MS,
      run: (ids) => this.#load(ids),
    });
  }

  async get(tenantId: string, eventId: EventId): Promise<CommunicationEvent | undefined> {
    const event = await this.load(eventId);
    return event?.tenantId === tenantId ? event : undefined;
  }

  async load(eventId: EventId): Promise<CommunicationEvent | undefined> {
    return (await this.#loading.put(eventId)).event;
  }

  async #load(eventIds: readonly EventId[]): Promise<readonly Loaded[]> {
    const sql = this.#sql;
    const rows = await sql<EventRow[]>`
      select ${columns(sql)} from communication_events c where c.event_id = any(${[...eventIds]}::text[])`;
    const events = new Map(rows.map((row) => [row.event_id, eventOf(row)]));
    return eventIds.map((id) => ({ event: events.get(id) }));
  }

  /** Newest first. */
  async list(query: PageQuery & EventFilter): Promise<Page<CommunicationEvent>> {
    const sql = this.#sql;
    const limit = pageLimit(query.limit);
    const [after] = query.cursor === undefined ? [] : readCursor(query.cursor, cursorPart.event);
    const rows = await telling(
      sql<EventRow[]>`
        select ${columns(sql)} from communication_events c
        where c.tenant_id = ${query.tenantId} and ${fits(sql, query)}
          ${after === undefined ? sql`` : sql`and c.event_id < ${after}`}
        order by c.event_id desc limit ${limit + 1}`,
    );
    return pageOf(rows, limit, eventOf, (row) => cursorOf(row.event_id));
  }

  async trace(tenantId: string, eventId: EventId): Promise<EventTrace | undefined> {
    const sql = this.#sql;
    const event = await this.get(tenantId, eventId);
    if (event === undefined) return undefined;
    const [conflicts, effects, deliveries, messages] = await Promise.all([
      telling(
        sql<{ readonly payload: JsonObject; readonly raw: JsonObject | null; readonly received_at: Date }[]>`
          select payload, raw, received_at from event_conflicts where event_id = ${eventId}
          order by received_at limit ${MAX_TRACE_ROWS}`,
      ),
      effectsOf(sql, eventId),
      this.#deliveries.ofEvent(eventId),
      telling(
        sql<MessageRow[]>`
          select ${messageColumns(sql)} from messages m where m.event_id = ${eventId} order by m.id limit ${MAX_TRACE_ROWS}`,
      ),
    ]);
    return {
      event,
      conflicts: conflicts.map(({ payload, raw, received_at }) => ({
        receivedAt: received_at.getTime(),
        payload,
        ...given("raw", raw),
      })),
      effects,
      deliveries,
      messages: messages.map(messageOf),
    };
  }

  /** What its dead jobs were at is planned anew by the routing, so that they are forgotten here. */
  async replay(request: ReplayRequest): Promise<number> {
    const sql = this.#sql;
    const repeat = request.repeat === true;
    return await this.#route(
      () => sql<{ readonly count: number }[]>`
        with chosen as materialized (
          select c.event_id from communication_events c
          where c.tenant_id = ${request.tenantId} and ${fits(sql, request.filter ?? {})}
            ${request.eventIds === undefined ? sql`` : sql`and c.event_id = any(${[...request.eventIds]}::text[])`}
          order by c.event_id limit ${Math.min(request.limit, MAX_REPLAY)} for no key update
        ), moved as (
          update communication_events c set
            status = 'received', routed_at = null, settled_at = null, repeats = c.repeats + ${repeat ? 1 : 0}
          from chosen where c.event_id = chosen.event_id
          returning c.event_id, c.tenant_id, c.conversation_key, case when ${repeat} then c.repeats else 0 end as repeat
        ), forgotten as (
          delete from q_jobs j using chosen where j.event_id = chosen.event_id and j.state = 'dead'
        ), ${routing(sql, "moved", "replay")}`,
    );
  }

  /** One that its tenant has under the same key already stays parked. */
  async unpark(provider: Provider, channelId: string, tenantId: string): Promise<number> {
    for (let all = 0; ; ) {
      const taken = await this.#unparkSome(provider, channelId, tenantId);
      if (taken === 0) return all;
      all += taken;
    }
  }

  async #unparkSome(provider: Provider, channelId: string, tenantId: string): Promise<number> {
    const sql = this.#sql;
    return await this.#route(
      () => sql<{ readonly count: number }[]>`
        with chosen as materialized (
          select c.event_id from communication_events c
          where c.tenant_id is null and c.provider = ${provider} and c.channel_id = ${channelId}
            and not exists (select from communication_events o
              where o.tenant_id = ${tenantId} and o.idempotency_key = c.idempotency_key)
          order by c.event_id limit ${MAX_REPLAY} for no key update
        ), moved as (
          update communication_events c set tenant_id = ${tenantId} from chosen where c.event_id = chosen.event_id
          returning c.event_id, c.tenant_id, c.conversation_key, 0 as repeat
        ), ${routing(sql, "moved", "unpark")}`,
    );
  }

  /** Those that have waited longest first. What a channel with an owner left parked is a repetition, and waits for nobody. */
  async parked(): Promise<readonly ParkedEvents[]> {
    const rows = await telling(
      this.#sql<
        { readonly provider: Provider; readonly channel_id: string; readonly count: number; readonly since: Date }[]
      >`
        select provider, channel_id, count(*)::int as count, min(received_at) as since from communication_events e
        where tenant_id is null and provider is not null and channel_id is not null
          and not exists (select from tenant_message_channels c
            where c.provider = e.provider and c.channel_id = e.channel_id)
        group by provider, channel_id order by since limit ${MAX_TRACE_ROWS}`,
    );
    return rows.map(({ provider, channel_id, count, since }) => ({
      provider,
      channelId: channel_id,
      count,
      since: since.getTime(),
    }));
  }

  /**
   * Forgets what came before `before`, whatever became of it, with its effects, deliveries and dead letters; a repetition that
   * comes later than that is taken for new. What still has work to do stays, and so do messages and conversations.
   *
   * Ids sort by time, so that they find the oldest. The status is looked at again when the row is locked, unlike the jobs: one
   * that is being replayed is `received`.
   */
  async prune(before: Date, limit: number): Promise<number> {
    const sql = this.#sql;
    const gone = await telling(
      persistently(
        () => sql`
        with old as materialized (
          select event_id from communication_events c
          where event_id < ${eventId(uuidV7(before.getTime(), NO_CHANCE))} and received_at < ${before}
            and (status <> 'received' or tenant_id is null)
            and not exists (select from q_jobs j where j.event_id = c.event_id and j.state = 'queued')
          order by event_id limit ${limit} for update skip locked
        ), effects_gone as (
          delete from effects e using old where e.event_id = old.event_id
        ), deliveries_gone as (
          delete from deliveries d using old where d.event_id = old.event_id
        ), jobs_gone as (
          delete from q_jobs j using old where j.event_id = old.event_id and j.state = 'dead'
        )
        delete from communication_events c using old where c.event_id = old.event_id`,
      ),
    );
    return gone.count;
  }

  async #route(statement: () => Promise<readonly { readonly count: number }[]>): Promise<number> {
    const [row] = await telling(persistently(statement));
    const count = row?.count ?? 0;
    if (count > 0) this.#wake.wake("route");
    return count;
  }
}

function columns(sql: Sql) {
  return sql`c.event_id, c.trace_id, c.idempotency_key, c.tenant_id, c.source_system, c.external_id, c.event_type, c.payload,
    c.payload_version, c.raw, c.provider, c.channel_id, c.conversation_key, c.status, c.attempts, c.last_error, c.conflicts,
    c.occurred_at, c.received_at, c.routed_at, c.settled_at`;
}

const STATUSES: ReadonlySet<string> = new Set([
  "received",
  "routed",
  "processed",
  "failed",
  "dead",
  "ignored",
] satisfies EventStatus[]);

/** A condition on `communication_events c`. A pattern or status that cannot be fits nothing. */
function fits(sql: Sql, filter: EventFilter) {
  const { type, status, sourceSystem, channelId, traceId, conversationKey, since, until } = filter;
  if (type !== undefined && !isTypePattern(type)) return sql`false`;
  if (status !== undefined && !STATUSES.has(status)) return sql`false`;
  return sql`true
    ${type === undefined ? sql`` : type.includes("*") ? sql`and c.event_type ~ ${typePatternSource(type)}` : sql`and c.event_type = ${type}`}
    ${status === undefined ? sql`` : sql`and c.status = ${status}`}
    ${sourceSystem === undefined ? sql`` : sql`and c.source_system = ${sourceSystem}`}
    ${channelId === undefined ? sql`` : sql`and c.channel_id = ${channelId}`}
    ${traceId === undefined ? sql`` : sql`and c.trace_id = ${traceId}`}
    ${conversationKey === undefined ? sql`` : sql`and c.conversation_key = ${conversationKey}`}
    ${since === undefined ? sql`` : sql`and c.received_at >= ${new Date(since)}`}
    ${until === undefined ? sql`` : sql`and c.received_at < ${new Date(until)}`}`;
}

/**
 * Adds the routing jobs of the events in the CTE `source` and ends the statement. The lane is that of `laneKey("route", …)`; one
 * that is queued already is enough.
 */
function routing(sql: Sql, source: string, why: string) {
  return sql`work as materialized (
      select row_number() over (order by event_id)::int as ord, 'route/' || tenant_id || '/' || conversation_key as lane,
        'route' as pool, tenant_id::text as target, tenant_id, ${handler.route} as handler,
        jsonb_build_object('event_id', event_id, 'repeat', repeat) as payload, event_id,
        ${why} || '/' || event_id || '/' || repeat as idem, 0::float8 as delay_ms
      from ${sql(source)}
    ), ${addJobs(sql, "work")}
    select count(*)::int as count from work`;
}
