import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { CommunicationEvent, EventId } from "#core/event/event.ts";
import { DEFAULT_TENANT } from "#store/tenant.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";
import { furnish, notice, Outside, type RouterNode, refused, startNode } from "./nodes.ts";

let database: TestDatabase;
let outside: Outside;
const nodes: RouterNode[] = [];

beforeAll(async () => {
  database = await withDatabase();
  // Its connection stays open to the end of the file.
  await database.sql`select 1`;
});
beforeEach(() => {
  outside = new Outside();
});
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.stop()));
  await database.sql`truncate q_lanes, q_jobs, effects, communication_events, conversations, messages, contacts,
    contact_identities, tenant_message_channels, webhook_endpoints, deliveries cascade`;
  await database.sql`delete from routing_rules where updated_by <> 'ponte'`;
});
afterAll(() => database.drop());

async function node(): Promise<RouterNode> {
  const started = await startNode(database, outside);
  nodes.push(started);
  return started;
}

/** Waits until the event is done with, and tells how. */
async function outcome({ store }: RouterNode, id: EventId): Promise<CommunicationEvent["status"] | undefined> {
  const settled = ["processed", "dead", "ignored"];
  let status: CommunicationEvent["status"] | undefined;
  await expect
    .poll(
      async () => {
        status = (await store.events.load(id))?.status;
        return settled.includes(status ?? "");
      },
      { timeout: 15_000, interval: 20 },
    )
    .toBe(true);
  return status;
}

const phone = (person: number) => `55119${90_000_000 + person}`;

describe("messages", () => {
  test("arrive once and in order in each conversation, whatever the gateway refuses meanwhile", async () => {
    const [one, other] = [await node(), await node()];
    await furnish(one);
    let counter = 0;
    // Every eighth request is refused; what was refused comes again before what is behind it.
    outside.answer = () => {
      counter += 1;
      return counter % 8 === 0 ? refused(true) : outside.taken();
    };
    const events = [];
    for (let turn = 0; turn < 4; turn += 1)
      for (let person = 0; person < 6; person += 1) {
        const event = notice(phone(person), `${person}-${turn}`);
        events.push(event);
        await (turn % 2 === 0 ? one : other).store.intake.accept(event);
      }
    for (const event of events) expect(await outcome(one, event.eventId)).toBe("processed");
    const rows = await database.sql<{ readonly address: string; readonly said: string; readonly state: string }[]>`
      select i.address, m.content ->> 'text' as said, m.state from messages m
      join conversations c on c.id = m.conversation_id join contact_identities i on i.contact_id = c.contact_id
      order by m.sent_at, m.id`;
    expect(rows).toHaveLength(24);
    expect(new Set(rows.map(({ state }) => state))).toEqual(new Set(["sent"]));
    for (let person = 0; person < 6; person += 1) {
      const tried = outside.texts().filter((text) => text.startsWith(`${person}-`));
      const inOrder = tried.filter((text, index) => text !== tried[index - 1]);
      expect(inOrder).toEqual([0, 1, 2, 3].map((turn) => `${person}-${turn}`));
    }
    expect(outside.sent.length).toBeLessThan(24 * 2);
  }, 20_000);

  test("that a dead node had in hand are reported and not repeated, and those behind them go on", async () => {
    const [dying, other] = [await node(), await node()];
    await furnish(dying);
    await other.router.stop();
    const answers: (() => void)[] = [];
    outside.answer = () => new Promise((resolve) => answers.push(() => resolve(outside.taken())));
    const [first, second] = [notice(phone(1), "first"), notice(phone(1), "second")];
    await dying.store.intake.accept(first);
    await expect.poll(() => outside.sent.length).toBe(1);
    await dying.store.intake.accept(second);

    outside.answer = () => outside.taken();
    await database.sql`delete from nodes where id = ${dying.store.nodeId}`;
    const heir = await node();
    expect(await outcome(heir, first.eventId)).toBe("dead");
    expect(await outcome(heir, second.eventId)).toBe("processed");
    expect(outside.texts()).toEqual(["first", "second"]);

    // The dead come back: what they write now counts no more.
    for (const answer of answers) answer();
    await expect.poll(() => dying.log.lines.some(({ message }) => message.includes("taken over"))).toBe(true);
    const trace = await heir.store.events.trace(DEFAULT_TENANT, first.eventId);
    expect(trace?.effects).toMatchObject([{ state: "unknown" }]);
  });

  test("that are given up wait as dead letters for a replay, which repeats nothing that succeeded", async () => {
    const one = await node();
    await furnish(one);
    outside.answer = ({ content }) =>
      content.type === "text" && content.text === "bad" && outside.sent.length < 3 ? refused(false) : outside.taken();
    const [bad, good] = [notice(phone(1), "bad"), notice(phone(2), "good")];
    await one.store.intake.accept(bad);
    await one.store.intake.accept(good);
    expect([await outcome(one, bad.eventId), await outcome(one, good.eventId)]).toEqual(["dead", "processed"]);
    expect((await one.store.queue.figures()).reduce((sum, { dead }) => sum + dead, 0)).toBe(1);

    const all = { tenantId: DEFAULT_TENANT, eventIds: [bad.eventId, good.eventId], limit: 10, by: "test" };
    expect(await one.store.events.replay(all)).toBe(2);
    expect(await outcome(one, bad.eventId)).toBe("processed");
    expect(await outcome(one, good.eventId)).toBe("processed");
    expect(outside.texts().toSorted()).toEqual(["bad", "bad", "good"]);
    expect((await one.store.queue.figures()).reduce((sum, { dead }) => sum + dead, 0)).toBe(0);

    await one.store.events.replay({ ...all, repeat: true });
    await expect.poll(() => outside.sent.length).toBe(5);
    expect(await outcome(one, good.eventId)).toBe("processed");
  });

  test("of people go back into the conversation, and its acks move them", async () => {
    const one = await node();
    await furnish(one);
    const [channel] = await one.store.channels.list(DEFAULT_TENANT);
    const request = {
      tenantId: DEFAULT_TENANT,
      to: { phone: `+${phone(1)}`, channel: channel?.id ?? "" },
      content: { type: "text", text: "oi" },
      by: "Bia",
      idempotencyKey: "once",
    } as const;
    const [first, again] = [await one.router.send(request), await one.router.send(request)];
    if (!first.ok || !again.ok) throw new Error("both are taken");
    expect(again.value.id).toBe(first.value.id);
    await expect.poll(async () => (await one.store.conversations.message(first.value.id))?.state).toBe("sent");
    expect(outside.texts()).toEqual(["oi"]);
    const ack = {
      ...notice(phone(1), ""),
      type: "whatsapp.delivery.ack",
      provider: "wpp_gateway",
      channelId: "gateway-1",
      payload: { message_id: "native-1", status: "read" },
    } as const;
    await one.store.intake.accept(ack);
    await expect.poll(async () => (await one.store.conversations.message(first.value.id))?.state).toBe("read");
  });
});

test("a webhook that fails and recovers gets everything, in order, and its trace tells every attempt", async () => {
  const one = await node();
  const endpoint = await one.store.endpoints.create(
    DEFAULT_TENANT,
    { url: "https://example.org/hook", events: ["notice.*"], enabled: true, allowPrivate: false },
    "secret",
  );
  outside.answerWebhook = () =>
    outside.delivered.length < 3
      ? { ok: false, retryable: true, attempt: { at: Date.now(), tookMs: 1, status: 500 } }
      : { ok: true };
  const events = [1, 2, 3].map((turn) => notice(phone(1), String(turn)));
  for (const event of events) await one.store.intake.accept(event);
  for (const event of events) expect(await outcome(one, event.eventId)).toBe("processed");
  expect(outside.delivered.map(({ payload }) => payload["text"])).toEqual(["1", "1", "1", "2", "3"]);
  const [first] = events;
  const trace = await one.store.events.trace(DEFAULT_TENANT, first?.eventId ?? "evt_");
  expect(trace?.deliveries).toMatchObject([{ endpointId: endpoint.id, state: "delivered" }]);
  expect(trace?.deliveries[0]?.attempts.map(({ status }) => status)).toEqual([500, 500, 200]);
});

test("two nodes share a thousand events, and each event is done once", async () => {
  const [one, other] = [await node(), await node()];
  await furnish(one);
  const events = Array.from({ length: 1_000 }, (_, index) => notice(phone(index % 100), String(index)));
  await Promise.all(events.map((event, index) => (index % 2 === 0 ? one : other).store.intake.accept(event)));
  await expect
    .poll(
      async () =>
        (await database.sql`select status, count(*)::int as n from communication_events group by status`).map(
          (row) => ({
            ...row,
          }),
        ),
      { timeout: 15_000, interval: 50 },
    )
    .toEqual([{ status: "processed", n: 1_000 }]);
  expect(new Set(outside.texts()).size).toBe(1_000);
  expect(outside.sent).toHaveLength(1_000);
  const said = new Map<string, number>();
  for (const { to, content } of outside.sent) {
    const number = content.type === "text" ? Number(content.text) : -1;
    expect(number).toBeGreaterThan(said.get(to[0].value) ?? -1);
    said.set(to[0].value, number);
  }
}, 20_000);
