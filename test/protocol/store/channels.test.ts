import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { ChannelDirectory } from "#store/channels.ts";
import { SecretBox } from "#store/secret-box.ts";
import { DEFAULT_TENANT } from "#store/tenant.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";
import { type RouterStore, routerStore } from "#test/support/router-store.ts";

let database: TestDatabase;
let store: RouterStore;
const OTHER_TENANT = "00000000-0000-7000-8000-000000000002";
beforeAll(async () => {
  database = await withDatabase();
  store = routerStore(database.url);
  await database.sql`insert into tenants (id, name) values (${OTHER_TENANT}, 'other')`;
});
afterEach(() => database.sql`truncate tenant_message_channels cascade`);
afterAll(async () => {
  await store.close();
  await database.drop();
});

const shop = {
  tenantId: DEFAULT_TENANT,
  provider: "wpp_gateway",
  channelId: "shop",
  state: "new",
  enabled: true,
} as const;

async function made() {
  const channel = await store.channels.put(shop);
  if (channel === "taken") throw new Error("it is free");
  return channel;
}

test("a channel is made, found, changed and removed", async () => {
  const channel = await made();
  expect(channel).toMatchObject({ ...shop, webhookConfigured: false, metadata: {} });
  expect(await store.channels.find("wpp_gateway", "shop")).toEqual(channel);
  expect(await store.channels.find("cloud_api", "shop")).toBeUndefined();
  const changed = await store.channels.change(channel.id, {
    state: "connected",
    phone: "551132654321",
    webhookConfigured: true,
    metadata: { session: "x" },
  });
  expect(changed).toMatchObject({
    state: "connected",
    phone: "551132654321",
    webhookConfigured: true,
    metadata: { session: "x" },
  });
  // What is not given stays.
  expect(await store.channels.change(channel.id, { enabled: false })).toMatchObject({
    state: "connected",
    enabled: false,
    metadata: { session: "x" },
  });
  expect(await store.channels.put({ ...shop, name: "Shop", state: "connecting" })).toMatchObject({
    id: channel.id,
    name: "Shop",
    state: "connecting",
    phone: "551132654321",
  });
  expect((await store.channels.list(DEFAULT_TENANT)).length).toBe(1);
  expect(await store.channels.remove(OTHER_TENANT, channel.id)).toBe(false);
  expect(await store.channels.remove(DEFAULT_TENANT, channel.id)).toBe(true);
  expect(await store.channels.change(channel.id, { enabled: true })).toBeUndefined();
});

test("a channel belongs to one tenant", async () => {
  const channel = await made();
  expect(await store.channels.put({ ...shop, tenantId: OTHER_TENANT })).toBe("taken");
  expect(await store.channels.get(OTHER_TENANT, channel.id)).toBeUndefined();
  expect(await store.channels.get(DEFAULT_TENANT, "nonsense")).toBeUndefined();
  expect(await store.channels.list(OTHER_TENANT)).toEqual([]);
});

test("of two who move a channel from the same state one does", async () => {
  const { id } = await made();
  const moves = await Promise.all([1, 2].map(() => store.channels.change(id, { state: "connected" }, "new")));
  expect(moves.filter((moved) => moved !== undefined)).toMatchObject([{ state: "connected" }]);
});

test("of secrets that come at once one is kept, and all are told which", async () => {
  const { id } = await made();
  const kept = await Promise.all(["a", "b", "c", "d"].map((secret) => store.channels.keepSecret(id, secret)));
  expect(new Set(kept)).toEqual(new Set([await store.channels.secret(id)]));
  expect(await store.channels.keepSecret(id, "e")).toBe(kept[0]);
  expect(await store.channels.keepSecret(DEFAULT_TENANT, "f")).toBeUndefined();
});

test("its secret is sealed in the database, and cannot be opened with another key", async () => {
  const channel = await made();
  expect(await store.channels.secret(channel.id)).toBeUndefined();
  expect(await store.channels.keepSecret(channel.id, "s3cr3t")).toBe("s3cr3t");
  expect(await store.channels.secret(channel.id)).toBe("s3cr3t");
  const [row] = await database.sql`select secret from tenant_message_channels`;
  expect(row?.["secret"].includes("s3cr3t")).toBe(false);
  const stranger = new ChannelDirectory({
    sql: database.sql,
    box: new SecretBox("quite another key"),
    random: () => new Uint8Array(16),
  });
  await expect(stranger.secret(channel.id)).rejects.toMatchObject({ code: "secret_unreadable" });
});
