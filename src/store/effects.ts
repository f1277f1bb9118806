import type { EventId } from "#core/event/event.ts";
import type { JsonObject } from "#core/json.ts";
import type { ActionType } from "#core/rule/rule.ts";
import type { Effect, EffectLedgerPort, EffectStart } from "#router/ports.ts";
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

/** What was done to the outside, written down before and after. */
export class EffectLedger implements EffectLedgerPort {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /**
   * Of two that start the same effect one finds it fresh: the other one waits for its row, and then does not find it planned.
   * An effect that nobody planned (a reply by a person) begins here.
   */
  async start(key: string): Promise<EffectStart> {
    const sql = this.#sql;
    const [row] = await telling(
      sql<{ readonly fresh: boolean; readonly state: Effect["state"] | null; readonly response: JsonObject | null }[]>`
        with begun as (
          update effects set state = 'started', attempts = attempts + 1, started_at = now()
          where key = ${key} and state = 'planned' returning key
        ), born as (
          insert into effects (key, step, kind, state, attempts, started_at)
          values (${key}, 'reply', 'send_message', 'started', 1, now())
          on conflict (key) do nothing returning key
        )
        select exists (select from begun union all select from born) as fresh,
          (select state from effects where key = ${key}) as state,
          (select response from effects where key = ${key}) as response`,
    );
    if (row?.fresh === true) return { state: "fresh" };
    return row?.state === "done" ? { state: "done", response: row.response ?? {} } : { state: "unknown" };
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
