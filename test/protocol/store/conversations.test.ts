import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { asKnown, type Identity } from "#core/contact/identity.ts";
import { phoneIdentity } from "#core/contact/phone.ts";
import type { Message } from "#core/message/message.ts";
import type { NewMessage } from "#router/ports.ts";
import { DEFAULT_TENANT } from "#store/tenant.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";
import { newId, type RouterStore, routerStore } from "#test/support/router-store.ts";

let database: TestDatabase;
let store: RouterStore;
let channel: string;
beforeAll(async () => {
  database = await withDatabase();
  store = routerStore(database.url);
});
beforeEach(async () => {
  const made = await store.channels.put({
    tenantId: DEFAULT_TENANT,
    provider: "wpp_gateway",
    channelId: "shop",
    state: "connected",
    enabled: true,
  });
  channel = made === "taken" ? "" : made.id;
});
afterEach(
  () => database.sql`truncate tenant_message_channels, contacts, contact_identities, conversations, messages cascade`,
);
afterAll(async () => {
  await store.close();
  await database.drop();
});

const OTHER_TENANT = "00000000-0000-7000-8000-000000000002";
const AT = 1_760_681_506_000;
const phone = phoneIdentity("5511987654321");
const lid: Identity = { kind: "lid", value: "123456", address: "123456" };
const bsuid: Identity = { kind: "bsuid", value: "BR.1349", address: "BR.1349" };

async function incoming(text: string, more: Partial<NewMessage> = {}): Promise<NewMessage> {
  const contact = more.contactId ?? (await store.contacts.resolve(DEFAULT_TENANT, [phone], "Ana")).id;
  return {
    id: newId(),
    tenantId: DEFAULT_TENANT,
    channel,
    contactId: contact,
    direction: "in",
    content: { type: "text", text },
    state: "received",
    providerMessageId: `in-${text}`,
    at: AT,
    ...more,
  };
}

async function outgoing(text: string, more: Partial<NewMessage> = {}): Promise<NewMessage> {
  const { providerMessageId: _, ...message } = await incoming(text, {
    direction: "out",
    state: "queued",
    idem: `idem-${text}`,
  });
  return { ...message, ...more };
}

const ack = (
  status: "sent" | "delivered" | "read" | "failed",
  providerMessageId = "out-1",
  at = AT + 1_000,
  tenantId = DEFAULT_TENANT,
) =>
  store.conversations.ack({
    tenantId,
    provider: "wpp_gateway",
    channelId: "shop",
    providerMessageId,
    status,
    at,
    ...(status === "failed" ? { error: { code: "131026", message: "undeliverable" } } : {}),
  });

describe("a contact", () => {
  test("is one person, whichever names came together", async () => {
    const first = await store.contacts.resolve(DEFAULT_TENANT, [phone], "Ana");
    // Without the ninth digit: the same person, reached by the form that was seen last.
    const old = phoneIdentity("551187654321");
    const second = await store.contacts.resolve(DEFAULT_TENANT, [old, lid]);
    expect(second.id).toBe(first.id);
    const third = await store.contacts.resolve(DEFAULT_TENANT, [lid, bsuid], "Ana Maria");
    expect(third).toMatchObject({ id: first.id, name: "Ana Maria" });
    expect(await store.contacts.get(DEFAULT_TENANT, first.id)).toEqual({
      id: first.id,
      tenantId: DEFAULT_TENANT,
      name: "Ana Maria",
      identities: expect.arrayContaining([{ ...phone, address: "551187654321" }, lid, bsuid]),
    });
    expect(await store.contacts.get(OTHER_TENANT, first.id)).toBeUndefined();
    expect(await store.contacts.get(DEFAULT_TENANT, "nonsense")).toBeUndefined();
  });

  test("stays reachable by WhatsApp's own form of the number, whatever others write to", async () => {
    const eight = phoneIdentity("551187654321");
    const heard = await store.contacts.resolve(DEFAULT_TENANT, [eight]);
    const reached = await store.contacts.reach(DEFAULT_TENANT, [phone, lid]);
    expect(reached).toMatchObject({ id: heard.id, identities: expect.arrayContaining([eight, lid]) });
    expect(asKnown(reached, [phone, lid])).toEqual([eight, lid]);
    expect(await store.contacts.get(DEFAULT_TENANT, heard.id)).toEqual(reached);
  });

  test("is made once by many who see it at once", async () => {
    const found = await Promise.all(
      Array.from({ length: 12 }, (_, n) =>
        store.contacts.resolve(DEFAULT_TENANT, n % 2 === 0 ? [phone, lid] : [lid, bsuid]),
      ),
    );
    expect((await database.sql`select id from contacts`).map((row) => row["id"])).toEqual([found[0]?.id]);
    expect(new Set(found.map((contact) => contact.id)).size).toBe(1);
  });

  test("takes in another one that turns out to be the same person, with its conversations", async () => {
    const first = await store.contacts.resolve(DEFAULT_TENANT, [phone]);
    const second = await store.contacts.resolve(DEFAULT_TENANT, [lid], "Ana");
    await store.conversations.put(await incoming("one", { contactId: first.id }));
    await store.conversations.put(await incoming("two", { contactId: second.id, at: AT + 5 }));
    const cloud = await store.channels.put({
      tenantId: DEFAULT_TENANT,
      provider: "cloud_api",
      channelId: "1",
      state: "connected",
      enabled: true,
    });
    if (cloud === "taken") throw new Error("it is free");
    await store.conversations.put(await incoming("three", { contactId: second.id, channel: cloud.id }));
    const one = await store.contacts.resolve(DEFAULT_TENANT, [phone, lid]);
    expect(one).toMatchObject({ id: first.id, name: "Ana" });
    expect(await store.contacts.get(DEFAULT_TENANT, second.id)).toBeUndefined();
    const { items } = await store.conversations.conversations({ tenantId: DEFAULT_TENANT, limit: 10 });
    expect(
      items.map(({ contact, provider, unread, lastMessage }) => [contact.id, provider, unread, lastMessage?.preview]),
    ).toEqual([
      [first.id, "wpp_gateway", 2, "two"],
      [first.id, "cloud_api", 1, "three"],
    ]);
    const messages = await store.conversations.messages({
      tenantId: DEFAULT_TENANT,
      conversationId: items[0]?.id ?? "",
      limit: 10,
    });
    expect(messages.items.map((message) => message.content)).toEqual([
      { type: "text", text: "two" },
      { type: "text", text: "one" },
    ]);
  });
});

describe("a conversation", () => {
  test("counts what was not read, and opens again for a new message", async () => {
    const first = await store.conversations.put(await incoming("oi"));
    await store.conversations.put(await incoming("alguém aí?\n", { at: AT + 1_000 }));
    // Late news does not take the place of newer.
    await store.conversations.put(await incoming("before", { at: AT - 1_000 }));
    const { conversationId } = first.message;
    expect(await store.conversations.conversation(DEFAULT_TENANT, conversationId)).toMatchObject({
      channel,
      provider: "wpp_gateway",
      channelId: "shop",
      state: "open",
      unread: 3,
      contact: { name: "Ana" },
      lastMessage: { at: AT + 1_000, direction: "in", preview: "alguém aí? " },
      lastInboundAt: AT + 1_000,
    });
    const change = (what: object) => store.conversations.change(DEFAULT_TENANT, conversationId, what);
    expect(await change({ read: true, state: "closed", assignee: "bia" })).toMatchObject({
      unread: 0,
      state: "closed",
      assignee: "bia",
    });
    expect((await change({ assignee: null }))?.assignee).toBeUndefined();
    await store.conversations.put(await outgoing("tchau"));
    expect(await change({})).toMatchObject({ unread: 0, state: "closed" });
    await store.conversations.put(await incoming("mais uma", { at: AT + 9_000 }));
    expect(await change({})).toMatchObject({ unread: 1, state: "open" });
    expect(await store.conversations.conversation(OTHER_TENANT, conversationId)).toBeUndefined();
    expect(await store.conversations.change(OTHER_TENANT, conversationId, { state: "closed" })).toBeUndefined();
  });

  test("takes a message once, by the provider's id and by our own key", async () => {
    const message = await incoming("oi");
    const both = await Promise.all([
      store.conversations.put(message),
      store.conversations.put({ ...message, id: newId() }),
    ]);
    expect(both.map((stored) => stored.duplicate).toSorted()).toEqual([false, true]);
    expect(new Set(both.map((stored) => stored.message.id)).size).toBe(1);
    const reply = await outgoing("resposta");
    await store.conversations.put(reply);
    expect(await store.conversations.put({ ...reply, id: newId() })).toMatchObject({
      duplicate: true,
      message: { id: reply.id },
    });
    const [one] = (await store.conversations.conversations({ tenantId: DEFAULT_TENANT, limit: 1 })).items;
    expect(one?.unread).toBe(1);
  });

  test("is found by filters, page by page", async () => {
    for (const [n, number] of ["5511911111111", "5511922222222", "5511933333333"].entries()) {
      const contact = await store.contacts.resolve(DEFAULT_TENANT, [phoneIdentity(number)]);
      await store.conversations.put(
        await incoming(`m${n}`, { contactId: contact.id, at: AT + n, ...(n === 0 ? { assignee: "bia" } : {}) }),
      );
    }
    const list = (more: object) => store.conversations.conversations({ tenantId: DEFAULT_TENANT, limit: 2, ...more });
    const first = await list({});
    const second = await list({ cursor: first.next });
    expect([...first.items, ...second.items].map((one) => one.lastMessage?.preview)).toEqual(["m2", "m1", "m0"]);
    expect(second.next).toBeUndefined();
    const count = async (more: object) => (await list(more)).items.length;
    expect([
      await count({ assignee: "bia" }),
      await count({ unreadOnly: true }),
      await count({ state: "closed" }),
    ]).toEqual([1, 2, 0]);
    expect([await count({ channel }), await count({ channel: newId() }), await count({ channel: "x" })]).toEqual([
      2, 0, 0,
    ]);
    expect(await count({ tenantId: OTHER_TENANT })).toBe(0);
    await expect(list({ cursor: "x" })).rejects.toMatchObject({ code: "bad_cursor" });
  });

  test("shows its messages newest first, page by page", async () => {
    for (let n = 0; n < 5; n++) await store.conversations.put(await incoming(`m${n}`, { at: AT + Math.floor(n / 2) }));
    const [one] = (await store.conversations.conversations({ tenantId: DEFAULT_TENANT, limit: 1 })).items;
    const query = { tenantId: DEFAULT_TENANT, conversationId: one?.id ?? "", limit: 2 };
    const texts: string[] = [];
    for (let cursor: string | undefined, pages = 0; pages < 3; pages++) {
      const page = await store.conversations.messages({ ...query, ...(cursor === undefined ? {} : { cursor }) });
      texts.push(...page.items.map((message) => (message.content.type === "text" ? message.content.text : "")));
      cursor = page.next;
    }
    expect(texts).toEqual(["m4", "m3", "m2", "m1", "m0"]);
    expect((await store.conversations.messages({ ...query, tenantId: OTHER_TENANT })).items).toEqual([]);
  });
});

describe("an outgoing message", () => {
  const movedOf = ({ id, conversationId }: Message) => ({ messageId: id, conversationId });

  test("moves forward only, whatever order its acks come in", async () => {
    const { message } = await store.conversations.put(await outgoing("oi"));
    expect(await ack("delivered")).toBe("early");
    await store.conversations.sent(message.id, { providerMessageId: "out-1" });
    expect(await ack("read", "out-1", AT + 1_000, OTHER_TENANT)).toBe("unknown");
    expect(await ack("read")).toEqual(movedOf(message));
    expect(await ack("delivered")).toBe("late");
    expect(await ack("sent")).toBe("late");
    expect(await ack("failed")).toBe("late");
    expect(await store.conversations.message(message.id)).toMatchObject({
      tenantId: DEFAULT_TENANT,
      channel,
      state: "read",
      providerMessageId: "out-1",
      readAt: AT + 1_000,
      deliveredAt: AT + 1_000,
    });
    expect(await ack("read", "out-2")).toBe("unknown");
  });

  test("that failed says why, and is delivered if it arrives after all", async () => {
    const { message } = await store.conversations.put(await outgoing("oi"));
    await store.conversations.sent(message.id, { providerMessageId: "out-1" });
    expect(await ack("failed")).toEqual(movedOf(message));
    expect(await store.conversations.message(message.id)).toMatchObject({
      state: "failed",
      error: { code: "131026", message: "undeliverable" },
    });
    expect(await ack("sent")).toBe("late");
    expect(await ack("delivered")).toEqual(movedOf(message));
    const stored = await store.conversations.message(message.id);
    expect(stored?.state).toBe("delivered");
    expect(stored?.error).toBeUndefined();
  });

  test("that the provider refused is failed, and stays so", async () => {
    const { message } = await store.conversations.put(await outgoing("oi"));
    await store.conversations.sent(message.id, { error: { code: "window_closed", message: "24 h are over" } });
    expect(await store.conversations.message(message.id)).toMatchObject({
      state: "failed",
      error: { code: "window_closed" },
    });
    expect(await store.conversations.message("nonsense")).toBeUndefined();
  });

  test("is not told twice when the gateway reports it before it answers", async () => {
    const { message } = await store.conversations.put(await outgoing("oi"));
    const echo = await outgoing("oi", {
      id: newId(),
      idem: "echo",
      state: "sent",
      providerMessageId: "out-1",
      author: "phone",
    });
    expect(await store.conversations.put(echo)).toMatchObject({ duplicate: false });
    expect(await ack("delivered")).toEqual({ messageId: echo.id, conversationId: message.conversationId });
    await store.conversations.sent(message.id, { providerMessageId: "out-1" });
    const { items } = await store.conversations.messages({
      tenantId: DEFAULT_TENANT,
      conversationId: message.conversationId,
      limit: 10,
    });
    expect(items).toMatchObject([{ id: message.id, state: "delivered", providerMessageId: "out-1" }]);
    // And the other way round.
    expect(await store.conversations.put({ ...echo, id: newId(), idem: "later" })).toMatchObject({
      duplicate: true,
      message: { id: message.id },
    });
  });
});
