import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { checkConfig } from "#config/load.ts";
import { apiKey } from "#src/parts.ts";
import { ApiKeys } from "#store/api-keys.ts";
import { DEFAULT_TENANT } from "#store/tenant.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";

let database: TestDatabase;
let keys: ApiKeys;

beforeAll(async () => {
  database = await withDatabase();
  keys = new ApiKeys(database.sql);
});
beforeEach(async () => {
  await database.sql`truncate api_keys`;
});
afterAll(() => database.drop());

test("a key that was made is known, with its name, until it is revoked", async () => {
  const { id, secret } = await keys.create("dashboard");
  expect(await keys.verify(secret)).toEqual({ id, name: "dashboard", tenantId: DEFAULT_TENANT });
  expect(await keys.revoke(id)).toBe(true);
  expect(await keys.verify(secret)).toBeUndefined();
  expect(await keys.revoke(id)).toBe(false);
});

test("the database does not know the secret", async () => {
  const { secret } = await keys.create("dashboard");
  const [row] = await database.sql`select prefix, to_jsonb(api_keys)::text as all from api_keys`;
  expect(row?.["all"]).not.toContain(secret.slice(12));
  expect(secret.startsWith(row?.["prefix"])).toBe(true);
});

test.each(["", "ponte_", "x".repeat(10_000), "ponte_\u0000"])("does not know %j", async (key) => {
  await keys.create("dashboard");
  expect(await keys.verify(key)).toBeUndefined();
});

test("two nodes that start at once make one first key, and no second", async () => {
  const made = await Promise.all([keys.ensureFirst(), keys.ensureFirst()]);
  const [first] = made.filter((key) => key !== undefined);
  expect(made.filter((key) => key === undefined)).toHaveLength(1);
  expect(await keys.verify(first?.secret ?? "")).toMatchObject({ name: "first" });
  expect(await keys.ensureFirst()).toBeUndefined();
});

test("the key of the environment replaces the one that it gave before", async () => {
  await keys.ensureGiven("old-secret");
  await keys.ensureGiven("old-secret");
  await keys.ensureGiven("new-secret");
  expect(await keys.verify("old-secret")).toBeUndefined();
  expect(await keys.verify("new-secret")).toMatchObject({ name: "environment" });
  await keys.ensureGiven("old-secret");
  expect(await keys.verify("old-secret")).toBeDefined();
  expect(await keys.ensureFirst()).toBeUndefined();
});

/** A start with this key in the configuration, or without one; returns the key that is shown. */
function start(given?: string): Promise<string | undefined> {
  return apiKey({ apiKeys: keys }, checked(given === undefined ? {} : { http: { api_key: given } }));
}

function checked(settings: Record<string, object>) {
  const result = checkConfig(settings, {});
  if (!result.ok) throw new Error("the configuration is wrong");
  return result.config;
}

test("a key of the configuration is valid only as long as the configuration names it", async () => {
  const { secret } = await keys.create("dashboard");
  expect(await start("given-once-and-long-enough")).toBeUndefined();
  expect(await keys.verify("given-once-and-long-enough")).toBeDefined();
  expect(await start()).toBeUndefined();
  expect(await keys.verify("given-once-and-long-enough")).toBeUndefined();
  expect(await keys.verify(secret)).toMatchObject({ name: "dashboard" });
});

test("where the only key was the configuration's and is gone, a first one is made and shown", async () => {
  await start("given-once-and-long-enough");
  const shown = await start();
  expect(await keys.verify(shown ?? "")).toMatchObject({ name: "first" });
});

test("a key that was made here belongs to the configuration once it names it", async () => {
  const former = (await start()) ?? "";
  const [entry] = await keys.list();
  await keys.revoke(entry?.id ?? "");
  const first = (await start()) ?? "";
  // A revoked first key beside a valid one, and a valid one.
  for (const given of [former, first]) {
    await start(given);
    expect(await keys.verify(given)).toMatchObject({ name: "environment" });
  }
  await start();
  for (const given of [former, first]) expect(await keys.verify(given)).toBeUndefined();
});
