import type { Sql } from "./client.ts";
import { json } from "./json.ts";
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
  readonly node_id: string;
}

/**
 * Ends the calls of dead nodes, `failed` by `node_lost`, and forgets those nodes. Media cannot move to another machine, so
 * that nothing else can be done for such a call. Each is returned to one caller only, whatever number of nodes sweep.
 *
 * A node that was only thought dead finds its calls with another epoch: its writes are refused.
 */
export async function sweepDead(sql: Sql, me: string, view: View): Promise<readonly OrphanedCall[]> {
  return await sql.begin(async (work) => {
    const tx = work as unknown as Sql;
    const dead = await tx<{ readonly id: string }[]>`
      select n.id from nodes n where ${isDead(tx, me, view)} for update skip locked`;
    const ids = dead.map((node) => node.id);
    const ended = await tx<Ended[]>`
      update whatsapp_calls c set
        state = 'ended', result = 'failed', ended_by = 'ponte', cause = 'node_lost', ended_at = now(), updated_at = now(),
        node_id = ${me}, epoch = c.epoch + 1
      from (
        select id, state, node_id from whatsapp_calls
        where state <> 'ended' and node_id <> ${me}
          and (node_id = any(${ids}::uuid[]) or not exists (select from nodes n where n.id = node_id))
        order by id for update
      ) before
      where c.id = before.id
      returning c.id, c.wacid, c.channel_id, before.state, before.node_id`;
    const events = ended.map((call) => ({ call_id: call.id, data: { from: call.state, node_id: call.node_id } }));
    await tx`
      insert into whatsapp_call_events (call_id, seq, at, type, data)
      select call_id, (extract(epoch from now()) * 1000000)::bigint, now(), 'node_lost', data
      from jsonb_to_recordset(${json(events)}::text::jsonb) as e(call_id uuid, data jsonb)
      on conflict do nothing`;
    await tx`delete from nodes where id = any(${ids}::uuid[])`;
    return ended.map(({ id, wacid, channel_id, state }) => ({ id, wacid, channelId: channel_id, state }));
  });
}
