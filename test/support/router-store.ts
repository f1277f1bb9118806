import { randomBytes } from "node:crypto";
import { conversationKey, eventId, type NewEvent } from "#core/event/event.ts";
import { uuidV7 } from "#core/id.ts";
import { systemClock } from "#engine/system-clock.ts";
import type { Job, Lane, Pool } from "#router/ports.ts";
import { ChannelDirectory } from "#store/channels.ts";
import { connect } from "#store/client.ts";
import { ContactStore } from "#store/contacts.ts";
import { Conversations } from "#store/conversations.ts";
import { DeliveryStore } from "#store/deliveries.ts";
import { EffectLedger } from "#store/effects.ts";
import { EndpointStore } from "#store/endpoints.ts";
import { EventIntake } from "#store/event-intake.ts";
import { EventLog } from "#store/events.ts";
import { LaneQueue, WORKER_LOCK_TIMEOUT_MS } from "#store/queue.ts";
import { RuleStore } from "#store/rules.ts";
import { SecretBox } from "#store/secret-box.ts";
import { DEFAULT_TENANT } from "#store/tenant.ts";
import { Wake } from "#store/wake.ts";
import { quietLog } from "#test/support/quiet-log.ts";

export const newId = () => uuidV7(Date.now(), randomBytes(16));

/** The store's side of the router on a database of the test, as `openStore` puts it together, without a node. */
export function routerStore(url: string) {
  const random = () => randomBytes(16);
  const sql = connect({ url, connections: 4 });
  const workers = connect({ url, connections: 4, lockTimeoutMs: WORKER_LOCK_TIMEOUT_MS });
  const nodeId = newId();
  const box = new SecretBox("a key of the tests");
  const wake = new Wake({ url, sql, nodeId, clock: systemClock, log: quietLog() });
  const deliveries = new DeliveryStore({ sql, wake, random });
  return {
    sql,
    nodeId,
    wake,
    intake: new EventIntake({ sql, wake }),
    events: new EventLog({ sql, deliveries, wake }),
    queue: new LaneQueue({ sql: workers, nodeId, wake }),
    effects: new EffectLedger(sql),
    rules: new RuleStore(sql, random),
    channels: new ChannelDirectory({ sql, box, random }),
    contacts: new ContactStore(sql, random),
    conversations: new Conversations(sql, random),
    endpoints: new EndpointStore({ sql, box, random }),
    deliveries,
    close: async () => {
      await wake.stop();
      await Promise.all([sql.end({ timeout: 1 }), workers.end({ timeout: 1 })]);
    },
  };
}

export type RouterStore = ReturnType<typeof routerStore>;

/** A message that came in over a gateway. */
export function anEvent(more: Partial<NewEvent> = {}): NewEvent {
  const id = newId();
  return {
    eventId: eventId(id),
    traceId: "0af7651916cd43dd8448eb211c80319c",
    tenantId: DEFAULT_TENANT,
    sourceSystem: "wpp_gateway",
    externalId: `shop/${id}`,
    type: "whatsapp.inbound.message",
    payload: { message_id: id, content: { type: "text", text: "oi" } },
    payloadVersion: 1,
    provider: "wpp_gateway",
    channelId: "shop",
    conversationKey: conversationKey("wpp_gateway", "shop", { kind: "phone", value: "5511987654321" }),
    occurredAt: 1_760_681_506_000,
    receivedAt: 1_760_681_507_000,
    ...more,
  };
}

/** One whose id says that it was made at this time; ids of one millisecond are in no order. */
export function eventOfTime(ms: number, more: Partial<NewEvent> = {}): NewEvent {
  return anEvent({ eventId: eventId(uuidV7(ms, randomBytes(16))), receivedAt: ms, ...more });
}

/** The next lane of a pool and its first job. */
export async function nextJob(store: RouterStore, pool: Pool): Promise<{ readonly lane: Lane; readonly job: Job }> {
  const [lane] = await store.queue.claim({ pool, lanes: 1, jobsPerLane: 10, leaseMs: 60_000 });
  const [job] = lane?.jobs ?? [];
  if (lane === undefined || job === undefined) throw new Error(`there is nothing to do in the pool ${pool}`);
  return { lane, job };
}
