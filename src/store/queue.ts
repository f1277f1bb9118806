import type { ClaimRequest, Completion, Job, Lane, NewJob, Pool, QueueFigures, QueuePort } from "#router/ports.ts";
import { Batches } from "./batches.ts";
import type { Sql } from "./client.ts";
import { json } from "./json.ts";
import { claimLanes } from "./queue-claim.ts";
import { finishJobs } from "./queue-finish.ts";
import { addJobs, type JobRow, jobColumns, jobInput, jobOf } from "./queue-jobs.ts";
import { queueStatement, STATEMENT_LIMIT_MS } from "./queue-statement.ts";
import type { Wake } from "./wake.ts";

/** Ends of jobs in one statement. */
const MAX_FINISH_BATCH = 128;
/** Ends that may wait for their commit: more than all workers of a node have in hand. */
const MAX_FINISH_QUEUED = 20_000;

/** A lane that nobody used for so long is removed; it comes again with its next job. */
const LANE_KEEP_MS = 60_000;

export interface QueueOptions {
  /**
   * A pool whose statements wait for a row no longer than a moment (`WORKER_LOCK_TIMEOUT_MS`): even `skip locked` waits for a row
   * that is being changed, and could so make a circle with an addition.
   */
  readonly sql: Sql;
  /**
   * For what may be forgotten when the server crashes, because it is then done again: claims, which come again with their lease,
   * and ends of routing, which plans the same effects under the same keys. Does not wait for the disk. Absent: `sql`.
   */
  readonly hurried?: Sql;
  readonly nodeId: string;
  readonly wake: Wake;
}

/** For the pool of `QueueOptions.sql`. */
export const WORKER_LOCK_TIMEOUT_MS = 100;

/** The queue of lanes; see docs/adr/0006-lanes-queue.md. */
export class LaneQueue implements QueuePort {
  readonly #sql: Sql;
  readonly #hurried: Sql;
  readonly #nodeId: string;
  readonly #wake: Wake;
  readonly #finishing: Batches<Completion, "finished" | "lost">;
  readonly #routed: Batches<Completion, "finished" | "lost">;
  readonly #releasing: Batches<Lane, "released">;

  constructor({ sql, hurried = sql, nodeId, wake }: QueueOptions) {
    this.#sql = sql;
    this.#hurried = hurried;
    this.#nodeId = nodeId;
    this.#wake = wake;
    const batch = {
      maxBatch: MAX_FINISH_BATCH,
      maxQueued: MAX_FINISH_QUEUED,
      maxUnderWay: 2,
      limitMs: STATEMENT_LIMIT_MS,
    };
    this.#finishing = new Batches({ ...batch, name: "finished jobs", run: (items) => this.#finish(sql, items) });
    this.#routed = new Batches({ ...batch, name: "routed events", run: (items) => this.#finish(hurried, items) });
    this.#releasing = new Batches({ ...batch, name: "lanes", run: (items) => this.#release(items) });
  }

  async add(jobs: readonly NewJob[]): Promise<number> {
    if (jobs.length === 0) return 0;
    const sql = this.#sql;
    const [row] = await queueStatement(
      () => sql<{ readonly added: number }[]>`
        with given as materialized (
          select * from jsonb_to_recordset(${json(jobs.map(jobInput))}::text::jsonb) as g (${jobColumns(sql)})
        ), ${addJobs(sql, "given")}
        select count(*)::int as added from added`,
    );
    for (const pool of new Set(jobs.map((job) => job.pool))) this.#wake.wake(pool);
    return row?.added ?? 0;
  }

  /**
   * Two statements on purpose. In one, a lane whose lock was waited for would be read anew and its jobs would not: a job added
   * in between would be seen by nobody, and its addition be thought known.
   */
  async claim(request: ClaimRequest): Promise<readonly Lane[]> {
    const lanes = await claimLanes(this.#hurried, this.#nodeId, request);
    if (lanes.length === 0) return [];
    const jobs = await this.#jobs(
      lanes.map((lane) => lane.key),
      request.jobsPerLane,
    );
    return lanes.map(({ tenant_id, ...lane }) => ({ ...lane, tenantId: tenant_id, jobs: jobs.get(lane.key) ?? [] }));
  }

  finish(completion: Completion): Promise<"finished" | "lost"> {
    return (completion.lane.pool === "route" ? this.#routed : this.#finishing).put(completion);
  }

  async release(lane: Lane): Promise<void> {
    await this.#releasing.put(lane);
  }

  async renew(lane: Lane, leaseMs: number): Promise<boolean> {
    const sql = this.#hurried;
    const held = await queueStatement(
      () => sql`
        update q_lanes set next_at = now() + ${leaseMs}::float8 * interval '1 millisecond', touched_at = now()
        where key = ${lane.key} and lease = ${lane.lease} and locked_by is not null`,
    );
    return held.count === 1;
  }

  onWork(listener: (pool: Pool) => void): () => void {
    return this.#wake.on(listener);
  }

  /**
   * Lanes of nodes that are gone need not wait for their lease. A lane that is idle although it has work cannot be, and is woken
   * all the same: a conversation that stands still is the worst that can happen here.
   */
  async recover(): Promise<number> {
    const sql = this.#sql;
    const freed = await queueStatement(
      () => sql<{ readonly pool: Pool }[]>`
        with due as materialized (
          select key from q_lanes l
          where (locked_by is not null and locked_by <> ${this.#nodeId}
              and not exists (select from nodes n where n.id = l.locked_by))
            or (next_at is null and exists (select from q_jobs j where j.lane = l.key and j.state = 'queued'))
          order by key for no key update skip locked
        )
        update q_lanes l set next_at = now(), locked_by = null, lease = nextval('q_leases') from due where l.key = due.key
        returning l.pool`,
    );
    for (const pool of new Set(freed.map((lane) => lane.pool))) this.#wake.wake(pool);
    return freed.length;
  }

  /** Removes empty lanes that nobody uses; one that gets a job at this moment stays. */
  async prune(limit: number): Promise<number> {
    const sql = this.#sql;
    const gone = await queueStatement(
      () => sql`
        delete from q_lanes where key in (
          select key from q_lanes l
          where next_at is null and touched_at < now() - ${LANE_KEEP_MS} * interval '1 millisecond'
            and not exists (select from q_jobs j where j.lane = l.key and j.state = 'queued')
          order by touched_at limit ${limit} for update skip locked)`,
    );
    return gone.count;
  }

  /** Forgets what was given up before `before`. */
  async pruneDead(before: Date, limit: number): Promise<number> {
    const sql = this.#sql;
    const gone = await queueStatement(
      () => sql`
        delete from q_jobs where id in (
          select id from q_jobs where state = 'dead' and dead_at < ${before}
          order by dead_at limit ${limit} for update skip locked)`,
    );
    return gone.count;
  }

  async figures(): Promise<readonly QueueFigures[]> {
    return await queueStatement(
      () => this.#sql<QueueFigures[]>`
        select pool, count(*) filter (where state = 'queued')::int as queued, count(*) filter (where state = 'dead')::int as dead,
          coalesce(extract(epoch from now() - min(run_at) filter (where state = 'queued' and run_at <= now())) * 1000, 0)::float8
            as "oldestMs"
        from q_jobs group by pool order by pool`,
    );
  }

  /** The first due jobs of each lane; one that is not due yet stops those behind it. */
  async #jobs(keys: readonly string[], limit: number): Promise<ReadonlyMap<string, readonly Job[]>> {
    const sql = this.#hurried;
    const rows = await queueStatement(
      () => sql<JobRow[]>`
        select j.* from unnest(${[...keys]}::text[]) as k (key)
        cross join lateral (
          select id, lane, pool, target, tenant_id, handler, payload, event_id, attempts, last_error, run_at <= now() as due
          from q_jobs where lane = k.key and state = 'queued' order by id limit ${limit}
        ) j
        order by j.id`,
    );
    const jobs = new Map<string, Job[]>();
    const blocked = new Set<string>();
    for (const row of rows) {
      if (!row.due) blocked.add(row.lane);
      if (blocked.has(row.lane)) continue;
      const lane = jobs.get(row.lane);
      if (lane === undefined) jobs.set(row.lane, [jobOf(row)]);
      else lane.push(jobOf(row));
    }
    return jobs;
  }

  async #finish(sql: Sql, completions: readonly Completion[]): Promise<readonly ("finished" | "lost")[]> {
    const { jobs, woken } = await finishJobs(sql, completions);
    for (const pool of woken) this.#wake.wake(pool);
    return completions.map(({ job }) => (jobs.has(job.id) ? "finished" : "lost"));
  }

  /**
   * A lane to which nothing was added since its claim is due when its first job is, or idle; its jobs are then all known to this
   * statement. Any other lane is due at once.
   */
  async #release(lanes: readonly Lane[]): Promise<readonly "released"[]> {
    const sql = this.#hurried;
    const given = lanes.map(({ key, lease, seq }) => ({ key, lease, seq }));
    const due = await sql<{ readonly pool: Pool }[]>`
      with given as materialized (
        select * from jsonb_to_recordset(${json(given)}::text::jsonb) as g (key text, lease bigint, seq bigint)
      ), held as materialized (
        select l.key, g.lease, g.seq from q_lanes l join given g on l.key = g.key and l.lease = g.lease
        order by l.key for no key update of l
      )
      update q_lanes l set locked_by = null, touched_at = now(), next_at = case
        when l.seq = held.seq then (
          select greatest(j.run_at, now()) from q_jobs j where j.lane = l.key and j.state = 'queued' order by j.id limit 1)
        else now() end
      from held where l.key = held.key and l.lease = held.lease
      returning l.pool, l.next_at <= now() as due`;
    for (const pool of new Set(due.filter((row) => "due" in row && row.due === true).map((row) => row.pool)))
      this.#wake.wake(pool);
    return lanes.map(() => "released");
  }
}
