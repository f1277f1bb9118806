import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
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
