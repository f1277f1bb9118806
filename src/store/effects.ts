import type { EventId } from "#core/event/event.ts";
import type { JsonObject } from "#core/json.ts";
import type { ActionType } from "#core/rule/rule.ts";
import type { Effect, EffectLedgerPort, EffectStart } from "#router/ports.ts";
import { Batches } from "./batches.ts";
import type { Sql } from "./client.ts";
import { given, telling } from "./reading.ts";

interface EffectRow {
  readonly key: string;
  readonly event_id: EventId;
  readonly rule_id: string | null;
  readonly rule_version: number | null;
  readonly rule_name: string | null;
  readonly step: string;
  readonly kind: ActionType;
  readonly state: Effect["state"];
  readonly attempts: number;
  readonly detail: JsonObject;
  readonly response: JsonObject | null;
  readonly error: string | null;
  readonly planned_at: Date;
  readonly settled_at: Date | null;
}

interface StartRow {
  readonly key: string;
  readonly fresh: boolean;
  readonly state: Effect["state"];
  readonly response: JsonObject | null;
}

/** Starts in one statement; each holds its row until the commit. */
const MAX_START_BATCH = 64;
/** More than all workers of a node can begin at once. */
const MAX_STARTS_QUEUED = 10_000;
const STATEMENT_LIMIT_MS = 10_000;

/** What was done to the outside, written down before and after. */
export class EffectLedger implements EffectLedgerPort {
  readonly #sql: Sql;
  readonly #starting: Batches<string, EffectStart>;

  constructor(sql: Sql) {
    this.#sql = sql;
    this.#starting = new Batches({
      name: "effects that begin",
      maxBatch: MAX_START_BATCH,
      maxQueued: MAX_STARTS_QUEUED,
      maxUnderWay: 2,
      limitMs: STATEMENT_LIMIT_MS,
      run: (keys) => this.#start(keys),
    });
  }

  /** Forgets replies of people that were settled before `before`; effects of events go with their events. */
  async prune(before: Date, limit: number): Promise<number> {
    const gone = await telling(
      this.#sql`
        delete from effects where key in (
          select key from effects where event_id is null and settled_at < ${before}
          order by settled_at limit ${limit} for update skip locked)`,
    );
    return gone.count;
  }

  start(key: string): Promise<EffectStart> {
    return this.#starting.put(key);
  }

  /**
   * One statement decides: of two that start the same effect one finds it fresh, the other unknown. An effect that nobody planned
   * (a reply by a person) begins here.
   */
  async #start(keys: readonly string[]): Promise<readonly EffectStart[]> {
    const sql = this.#sql;
    const rows = await sql<StartRow[]>`
      with given as materialized (
        select distinct key from unnest(${[...keys]}::text[]) as g (key)
      ), known as materialized (
        select key, state from effects where key in (select key from given) order by key for no key update
      ), begun as (
        insert into effects as e (key, step, kind, state, attempts, started_at)
        select key, 'reply', 'send_message', 'started', 1, now() from given
        where (select count(*) from known) >= 0 order by key
        on conflict (key) do update set
          state = case e.state when 'planned' then 'started' else e.state end,
          attempts = e.attempts + (e.state = 'planned')::int,
          started_at = case e.state when 'planned' then now() else e.started_at end
        returning key, state, response, xmax::text = '0' as inserted
      )
      select begun.key, begun.inserted or coalesce(known.state, '') = 'planned' as fresh, begun.state, begun.response
      from begun left join known using (key)`;
    const started = new Map(rows.map((row) => [row.key, row]));
    return keys.map((key): EffectStart => {
      const row = started.get(key);
      if (row?.state === "done") return { state: "done", response: row.response ?? {} };
      // Of two starts in one statement the second is told what it would have been told a moment later.
      started.delete(key);
      return row?.fresh === true ? { state: "fresh" } : { state: "unknown" };
    });
  }

  async notDone(key: string, error: string): Promise<void> {
    await telling(
      this
        .#sql`update effects set state = 'planned', error = ${error.slice(0, 1_000)} where key = ${key} and state = 'started'`,
    );
  }
}

/** Effects of one event, in the order of their keys' plan. */
export async function effectsOf(sql: Sql, eventId: EventId): Promise<readonly Effect[]> {
  const rows = await telling(
    sql<EffectRow[]>`
      select e.key, e.event_id, e.rule_id, e.rule_version, r.name as rule_name, e.step, e.kind, e.state, e.attempts,
        e.detail, e.response, e.error, e.planned_at, e.settled_at
      from effects e left join routing_rules r on r.id = e.rule_id
      where e.event_id = ${eventId} order by e.planned_at, e.key`,
  );
  return rows.map((row) => ({
    key: row.key,
    eventId: row.event_id,
    ...(row.rule_id === null
      ? {}
      : { rule: { id: row.rule_id, version: row.rule_version ?? 0, ...given("name", row.rule_name) } }),
    step: row.step,
    kind: row.kind,
    state: row.state,
    attempts: row.attempts,
    detail: row.detail,
    ...given("response", row.response),
    ...given("error", row.error),
    plannedAt: row.planned_at.getTime(),
    ...given("settledAt", row.settled_at?.getTime()),
  }));
}
