import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { key } from "#cli/key.ts";
import { ApiKeys } from "#store/api-keys.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";

let database: TestDatabase;
let keys: ApiKeys;
const printed: string[] = [];

beforeAll(async () => {
  database = await withDatabase();
  keys = new ApiKeys(database.sql);
  await database.sql`select 1`;
  vi.stubEnv("DATABASE_URL", database.url);
  vi.stubEnv("PONTE_CONFIG", "");
  vi.spyOn(console, "log").mockImplementation((line: string) => void printed.push(line));
});
afterEach(async () => {
  printed.length = 0;
  await database.sql`truncate api_keys`;
});
afterAll(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  await database.drop();
});

/** What a command says. */
async function said(...words: string[]): Promise<string> {
  printed.length = 0;
  expect(await key(words)).toBe(0);
  return printed.join("\n");
}

test("a key that is made opens the API, and its secret is shown once", async () => {
  const made = await said("create", "dashboard");
  const secret = /ponte_\S+/.exec(made)?.[0] ?? "";
  expect(await keys.verify(secret)).toMatchObject({ name: "dashboard" });
  const listed = await said("list");
  expect(listed).toMatch(/^id +name +prefix +created$/m);
  expect(listed).toMatch(/^[0-9a-f-]{36} {2}dashboard {2}ponte_\S{6} {2}20\S+Z$/m);
  expect(listed).not.toContain(secret);
});

test("a leaked first key is revoked, and no longer listed", async () => {
  const first = await keys.ensureFirst();
  expect(await said("revoke", first?.id ?? "")).toBe(`Key ${first?.id} is revoked.`);
  expect(await keys.verify(first?.secret ?? "")).toBeUndefined();
  expect(await said("list")).not.toContain("first");
  await expect(key(["revoke", first?.id ?? ""])).rejects.toMatchObject({ code: "no_such_key" });
});

test("of a short key that the configuration gives nothing is shown", async () => {
  await keys.ensureGiven("short-secret");
  expect(await said("list")).toMatch(/environment {2}– /);
});

test.each([
  [[], "ponte key list"],
  [["lst"], "ponte key list"],
  [["list", "all"], "ponte key list"],
  [["create"], "ponte key list"],
  [["create", "a", "b"], "ponte key list"],
  [["create", "first"], "gives itself"],
  [["create", "two\nlines"], "1 to 64 letters"],
  [["create", "dashboard", "--tenant", "nobody"], "no tenant nobody"],
  [["revoke", "dashboard"], "no valid key dashboard"],
  [["list", "--al"], "--al"],
])("key %j is refused in a sentence", async (words, sentence) => {
  await expect(key(words)).rejects.toThrow(sentence);
  expect(await keys.list()).toEqual([]);
});
