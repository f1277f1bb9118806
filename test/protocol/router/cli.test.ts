import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { replay } from "#cli/replay.ts";
import { routeTest } from "#cli/route-test.ts";
import { tenant } from "#cli/tenant.ts";
import { ApiKeys } from "#store/api-keys.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";
import { furnish, notice, Outside, refused, startNode } from "./nodes.ts";

let database: TestDatabase;
let folder: string;
const printed: string[] = [];

beforeAll(async () => {
  database = await withDatabase();
  await database.sql`select 1`;
  folder = mkdtempSync(join(tmpdir(), "ponte-cli-"));
  vi.stubEnv("DATABASE_URL", database.url);
  vi.stubEnv("PONTE_CONFIG", "");
  vi.spyOn(console, "log").mockImplementation((line: string) => void printed.push(line));
});
afterEach(() => {
  printed.length = 0;
});
afterAll(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
  await database.drop();
});

function file(event: object): string {
  const path = join(folder, "event.json");
  writeFileSync(path, JSON.stringify(event));
  return path;
}

test("route-test tells which of the first rules match, and what is missing", async () => {
  const payload = { customer: { name: "Ana", phone: "5511987654321" }, invoice: { id: "F-1" } };
  const path = file({ type: "billing.invoice.overdue", payload });
  expect(await routeTest(["--event", path])).toBe(1);
  expect(printed.join("\n")).toContain("✓ Overdue invoices are told to the customer — matched");
  expect(printed.join("\n")).toContain("cannot be done: payload.invoice.due_date is missing");
  printed.length = 0;
  expect(await routeTest(["--event", file({ type: "asaas.payment.received" }), "--json"])).toBe(0);
  expect(JSON.parse(printed.join("\n"))).toMatchObject({ effects: [{ action: { type: "log" } }] });
  const [row] = await database.sql`select count(*)::int as events from communication_events`;
  expect(row).toEqual({ events: 0 });
});

test("the README's example would be told to the customer", async () => {
  const readme = readFileSync(new URL("../../../README.md", import.meta.url), "utf8");
  const [, body = ""] = /-d '(\{"event_type".*\})'/.exec(readme) ?? [];
  await routeTest(["--event", file(JSON.parse(body))]);
  expect(printed.join("\n")).toContain("✓ Overdue invoices are told to the customer — matched");
  expect(printed.join("\n")).not.toContain("is missing");
});

test.each([
  [[], "needs --event"],
  [["--evnt", "x"], "--evnt"],
  [["--event", "/nowhere/x.json"], "cannot be read"],
])("route-test %j is refused in a sentence", async (words, sentence) => {
  await expect(routeTest(words)).rejects.toThrow(sentence);
});

test.each([
  [[], "needs to be told what"],
  [["--event", "5"], "--event takes"],
  [["--status", "lost"], "--status takes"],
  [["--since", "yesterday"], "--since takes"],
  [["--status", "dead", "--limit", "0"], "--limit takes"],
])("replay %j is refused in a sentence", async (words, sentence) => {
  await expect(replay(words)).rejects.toThrow(sentence);
});

test("replay has the dead letters of a running daemon tried again, and nothing else", async () => {
  const outside = new Outside();
  const node = await startNode(database, outside);
  try {
    await furnish(node);
    outside.answer = () => (outside.sent.length === 1 ? refused(false) : outside.taken());
    const [bad, good] = [notice("5511990000001", "bad"), notice("5511990000001", "good")];
    for (const event of [bad, good]) await node.store.intake.accept(event);
    const status = async (id: typeof bad.eventId) => (await node.store.events.load(id))?.status;
    await expect.poll(() => status(good.eventId)).toBe("processed");
    await expect.poll(() => status(bad.eventId)).toBe("dead");
    expect(await replay(["--status", "dead"])).toBe(0);
    expect(printed).toEqual(["1 event will be routed again."]);
    await expect.poll(() => status(bad.eventId), { timeout: 5_000 }).toBe("processed");
    expect(outside.texts()).toEqual(["bad", "good", "bad"]);
    expect(await replay(["--status", "dead"])).toBe(1);
  } finally {
    await node.stop();
  }
});

test("tenant create makes a tenant with a key of its own, which is stored as a hash only", async () => {
  expect(await tenant(["create", "Padaria", "Sol"])).toBe(0);
  const [, id = "", secret = ""] =
    /^Tenant Padaria Sol: (\S+)\nAPI key, shown this once: (ponte_\S+)$/.exec(printed[0] ?? "") ?? [];
  expect(await new ApiKeys(database.sql).verify(secret)).toMatchObject({ tenantId: id });
  printed.length = 0;
  expect(await tenant(["list"])).toBe(0);
  expect(printed.map((line) => line.split("  ").at(-1))).toEqual(["default", "Padaria Sol"]);
  await expect(tenant(["create", "Padaria Sol"])).rejects.toThrow("there is a tenant named Padaria Sol already");
  await expect(tenant(["destroy", "everything"])).rejects.toThrow("ponte tenant create NAME");
});
