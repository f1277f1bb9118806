import type { Sql } from "./client.ts";
import { isDead, type View } from "./nodes.ts";

/** A call that lost its node: its media is gone, and Meta has not been told. */
export interface OrphanedCall {
  readonly id: string;
  readonly wacid: string;
  readonly channelId: string;
  /** Where it stood; before `dialing` Meta wants `reject`, from then on `terminate`. */
  readonly state: string;
}

interface Ended {
  readonly id: string;
  readonly wacid: string;
  readonly channel_id: string;
  readonly state: string;
}

/**
 * Ends the calls of dead nodes, `failed` by `node_lost`, and forgets those nodes. Media cannot move to another machine, so
 * that nothing else can be done for such a call. Each is returned to one caller only, whatever number of nodes sweep.
 *
 * A node that was only thought dead finds its calls with another epoch: its writes are refused.
 */
export async function sweepDead(sql: Sql, me: string, view: View): Promise<readonly OrphanedCall[]> {
  const ended = await sql<Ended[]>`
    with dead as (
      select n.id from nodes n where ${isDead(sql, me, view)} for update skip locked
    ), lost as (
      select c.id, c.state, c.node_id from whatsapp_calls c
      where c.state <> 'ended' and c.node_id <> ${me}
        and (c.node_id in (select id from dead) or not exists (select from nodes n where n.id = c.node_id))
      order by c.id for update skip locked
    ), ended as (
      update whatsapp_calls c set
        state = 'ended', result = 'failed', ended_by = 'ponte', cause = 'node_lost', ended_at = now(), updated_at = now(),
        node_id = ${me}, epoch = c.epoch + 1
      from lost where c.id = lost.id
      returning c.id, c.wacid, c.channel_id, lost.state, lost.node_id
    ), told as (
      insert into whatsapp_call_events (call_id, seq, at, type, data)
      select id, (extract(epoch from now()) * 1000000)::bigint, now(), 'node_lost',
        jsonb_build_object('from', state, 'node_id', node_id)
      from ended
      on conflict do nothing
    ), forgotten as (
      delete from nodes where id in (select id from dead)
    )
    select id, wacid, channel_id, state from ended`;
  return ended.map(({ id, wacid, channel_id, state }) => ({ id, wacid, channelId: channel_id, state }));
}
