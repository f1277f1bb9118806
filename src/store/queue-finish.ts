import type { Completion, PlannedEffect, Pool } from "#router/ports.ts";
import type { Sql } from "./client.ts";
import { json } from "./json.ts";
import { addJobs, jobInput } from "./queue-jobs.ts";

/** Error texts are for people; what is longer is a page of HTML. */
const MAX_ERROR_LENGTH = 1_000;

function short(error: string | undefined): string | null {
  return error?.slice(0, MAX_ERROR_LENGTH) ?? null;
}

function completionInput(completion: Completion) {
  const { lane, job, result } = completion;
  const settled = result === "retry" ? undefined : completion.settled;
  return {
    job_id: job.id,
    lane: lane.key,
    lease: lane.lease,
    result,
    delay_ms: result === "retry" ? completion.delayMs : 0,
    error: result === "done" ? null : short(completion.error),
    event_id: job.eventId ?? null,
    routing: job.pool === "route",
    routed: result === "done" ? (completion.routed?.status ?? null) : null,
    effect: settled?.key ?? null,
    effect_state: settled?.state ?? null,
    response: settled?.response ?? null,
    effect_error: short(settled?.error),
  };
}

function effectInput(effect: PlannedEffect, jobId: string, ord: number) {
  return {
    ord,
    job_id: jobId,
    effect_key: effect.key,
    effect_event: effect.eventId,
    rule_id: effect.rule?.id ?? null,
    rule_version: effect.rule?.version ?? null,
    step: effect.step,
    kind: effect.kind,
    state: effect.state,
    error: short(effect.error),
    detail: effect.detail,
    ...(effect.job === undefined ? {} : jobInput(effect.job, ord)),
  };
}

/** Jobs of one effect key go in once: of equal keys the first one counts. */
function effectInputs(completions: readonly Completion[]) {
  const byKey = new Map<string, ReturnType<typeof effectInput>>();
  for (const completion of completions) {
    if (completion.result !== "done") continue;
    for (const effect of completion.effects ?? [])
      if (!byKey.has(effect.key)) byKey.set(effect.key, effectInput(effect, completion.job.id, byKey.size));
  }
  return [...byKey.values()];
}

export interface Finished {
  /** Ids of the jobs whose end was written. */
  readonly jobs: ReadonlySet<string>;
  /** Pools that got something to do. */
  readonly woken: readonly Pool[];
}

/**
 * Writes how jobs ended, in one statement.
 *
 *     given ─▶ ours (lease still held) ─▶ mine (job still there) ─┬▶ settled effects ──┐
 *                                                                 └▶ planned effects ──┴▶ delta ─▶ events
 *                                                                         └▶ lanes ─▶ jobs
 *
 * The lease is read, not locked: a row that is locked while others are waited for would make circles. What really decides is
 * the job's row: of two workers that end it one finds it gone.
 *
 * Counters of an event change by what the statement really did (`returning`), so that a repetition changes nothing.
 */
export async function finishJobs(sql: Sql, completions: readonly Completion[]): Promise<Finished> {
  const given = completions.map(completionInput);
  const effects = effectInputs(completions);
  const rows = await sql<{ readonly job_id: string; readonly pools: Pool[] | null }[]>`
    with given as materialized (
      select * from jsonb_to_recordset(${json(given)}::text::jsonb) as g (
        job_id bigint, lane text, lease bigint, result text, delay_ms float8, error text, event_id text, routing boolean,
        routed text, effect text, effect_state text, response jsonb, effect_error text)
    ), ours as materialized (
      select g.* from given g join q_lanes l on l.key = g.lane and l.lease = g.lease
    ), gone as (
      delete from q_jobs j using ours g where j.id = g.job_id and j.state = 'queued' and g.result = 'done' returning j.id
    ), changed as (
      update q_jobs j set
        attempts = j.attempts + 1, last_error = g.error,
        run_at = now() + g.delay_ms * interval '1 millisecond',
        state = case g.result when 'dead' then 'dead' else 'queued' end,
        dead_at = case g.result when 'dead' then now() end
      from ours g where j.id = g.job_id and j.state = 'queued' and g.result <> 'done'
      returning j.id
    ), mine as materialized (
      select g.* from ours g where g.job_id in (select id from gone union all select id from changed)
    ), settled as (
      update effects e set state = m.effect_state, response = m.response, error = m.effect_error, settled_at = now()
      from mine m where e.key = m.effect and e.state in ('planned', 'started')
      returning e.event_id, e.state
    ), wanted as materialized (
      select w.* from jsonb_to_recordset(${json(effects)}::text::jsonb) as w (
        ord integer, job_id bigint, effect_key text, effect_event text, rule_id uuid, rule_version integer, step text,
        kind text, state text, error text, detail jsonb,
        lane text, pool text, target text, tenant_id uuid, handler text, payload jsonb, event_id text, idem text,
        delay_ms float8)
      where w.job_id in (select job_id from mine)
    ), planned as (
      insert into effects as e (key, event_id, rule_id, rule_version, step, kind, state, error, detail, settled_at)
      select effect_key, effect_event, rule_id, rule_version, step, kind, state, error, detail,
        case when state <> 'planned' then now() end
      from wanted order by effect_key
      on conflict (key) do update set
        state = excluded.state, error = excluded.error, detail = excluded.detail, rule_version = excluded.rule_version,
        planned_at = now(), started_at = null, settled_at = excluded.settled_at
        where e.state = 'dead'
      returning e.key, e.event_id, e.state, e.error, e.xmax::text <> '0' as revived
    ), work as materialized (
      select w.* from wanted w join planned p on p.key = w.effect_key where w.lane is not null and p.state = 'planned'
    ), ${addJobs(sql, "work")}, news as (
      select event_id, (state = 'planned')::int as open, (state = 'dead')::int - revived::int as dead,
        false as routing, null::text as routed, null::text as result, error
      from planned
      union all
      select event_id, -1, (state in ('dead', 'unknown'))::int, false, null, null, null from settled
      union all
      select event_id, 0, 0, routing, routed, result, coalesce(error, effect_error) from mine where event_id is not null
    ), delta as materialized (
      select event_id, sum(open) as open, sum(dead) as dead, max(routed) as routed, max(error) as error,
        count(*) filter (where routing) as attempts,
        coalesce(bool_or(result = 'retry'), false) as failing,
        coalesce(bool_or(routing and result = 'dead'), false) as lost
      from news group by event_id
    ), held as materialized (
      select event_id from communication_events where event_id in (select event_id from delta)
      order by event_id for no key update
    ), told as (
      update communication_events c set
        effects_open = c.effects_open + d.open, effects_dead = c.effects_dead + d.dead,
        attempts = c.attempts + d.attempts, last_error = coalesce(d.error, c.last_error),
        routed_at = case when d.routed is null then c.routed_at else now() end,
        status = ${statusAfter(sql)},
        settled_at = case when ${statusAfter(sql)} in ('processed', 'dead', 'ignored') then now() end
      from delta d join held using (event_id) where c.event_id = d.event_id
    )
    select job_id, (select array_agg(distinct pool) from work) as pools from mine`;
  return { jobs: new Set(rows.map((row) => row.job_id)), woken: rows[0]?.pools ?? [] };
}

/** What an event `c` is after the changes `d`; the one place where the statuses of routed events are decided. */
function statusAfter(sql: Sql) {
  return sql`case
    when d.lost then 'dead'
    when d.failing then 'failed'
    when c.routed_at is null and d.routed is null then c.status
    when c.effects_open + d.open > 0 then 'routed'
    when c.effects_dead + d.dead > 0 then 'dead'
    when coalesce(d.routed, c.status) = 'ignored' then 'ignored'
    else 'processed' end`;
}
