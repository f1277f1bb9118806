import type { ClaimRequest, Pool, Room } from "#router/ports.ts";
import type { Sql } from "./client.ts";
import { queueStatement } from "./queue-statement.ts";

/** A claim that finds lanes locked looks behind them so often; the next wake-up or poll sees to the rest. */
const MAX_CLAIMS = 3;

export interface LaneRow {
  readonly key: string;
  readonly pool: Pool;
  readonly target: string;
  readonly tenant_id: string;
  readonly lease: string;
  readonly seq: string;
}

interface Claimed {
  /** Keys of what was due and fitted. */
  readonly chosen: readonly string[];
  /** Less what was locked. */
  readonly taken: readonly LaneRow[];
}

/** Takes the lanes that are due and fit the request, the oldest first. Their jobs are read by a statement of its own. */
export async function claimLanes(sql: Sql, nodeId: string, request: ClaimRequest): Promise<readonly LaneRow[]> {
  const lanes: LaneRow[] = [];
  const locked: string[] = [];
  for (let attempt = 1; attempt <= MAX_CLAIMS && lanes.length < request.lanes; attempt++) {
    const { chosen, taken } = await claimOnce(sql, nodeId, withTaken(request, lanes), locked);
    lanes.push(...taken);
    // What somebody else was about to take, or was adding to; there may be more behind it.
    const mine = new Set(taken.map((lane) => lane.key));
    const left = chosen.filter((key) => !mine.has(key));
    if (left.length === 0) break;
    locked.push(...left);
  }
  return lanes;
}

/**
 * Goes from target to target, so that what waits for one that is at its limit is not read: the cost is that of the targets
 * with work, not of their backlog. `skip locked` comes last, on what was chosen, because it cannot be counted by.
 */
async function claimOnce(sql: Sql, nodeId: string, request: ClaimRequest, except: readonly string[]): Promise<Claimed> {
  const { pool, lanes, perTarget, perTenant } = request;
  const rows = await queueStatement(
    () => sql<(LaneRow & { readonly chosen: readonly string[] | null })[]>`
      with recursive targets as (
        (select target from q_lanes where pool = ${pool} and next_at is not null order by target limit 1)
        union all
        select n.target from targets t cross join lateral (
          select target from q_lanes where pool = ${pool} and next_at is not null and target > t.target
          order by target limit 1) n
      ), candidates as (
        select d.key, d.tenant_id, d.next_at, row_number() over (partition by d.tenant_id order by d.next_at) as nth
        from targets t left join ${roomLeft(sql, perTarget)} r (key, lanes) on r.key = t.target
        cross join lateral (
          select key, tenant_id, next_at from q_lanes l
          where l.pool = ${pool} and l.target = t.target and l.next_at <= now() and l.key <> all(${[...except]}::text[])
          order by l.next_at limit least(coalesce(r.lanes, ${perTarget?.each ?? lanes}), ${lanes})) d
      ), chosen as materialized (
        select c.key from candidates c left join ${roomLeft(sql, perTenant)} r (key, lanes) on r.key = c.tenant_id::text
        where c.nth <= coalesce(r.lanes, ${perTenant?.each ?? lanes})
        order by c.next_at limit ${lanes}
      ), due as materialized (
        select l.key from q_lanes l join chosen using (key)
        where l.next_at <= now() for no key update of l skip locked
      ), taken as (
        update q_lanes l set lease = nextval('q_leases'), locked_by = ${nodeId}, touched_at = now(),
          next_at = now() + ${request.leaseMs}::float8 * interval '1 millisecond'
        from due where l.key = due.key
        returning l.key, l.pool, l.target, l.tenant_id, l.lease, l.seq
      )
      select t.*, (select array_agg(key) from chosen) as chosen from (select) one left join taken t on true`,
  );
  return { chosen: rows[0]?.chosen ?? [], taken: rows.filter((row) => row.key !== null) };
}

/** A request for what is still wanted when these lanes were taken. */
function withTaken({ perTarget, perTenant, ...request }: ClaimRequest, taken: readonly LaneRow[]): ClaimRequest {
  const less = (room: Room, keyOf: (lane: LaneRow) => string): Room => {
    const left = new Map(room.left);
    for (const key of taken.map(keyOf)) left.set(key, (left.get(key) ?? room.each) - 1);
    return { ...room, left };
  };
  return {
    ...request,
    lanes: request.lanes - taken.length,
    ...(perTarget === undefined ? {} : { perTarget: less(perTarget, (lane) => lane.target) }),
    ...(perTenant === undefined ? {} : { perTenant: less(perTenant, (lane) => lane.tenant_id) }),
  };
}

/** A table of what a room has left. */
function roomLeft(sql: Sql, room: Room | undefined) {
  const left = [...(room?.left ?? [])];
  return sql`unnest(${left.map(([key]) => key)}::text[], ${left.map(([, lanes]) => lanes)}::int[])`;
}
