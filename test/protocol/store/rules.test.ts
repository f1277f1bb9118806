import { afterAll, beforeAll, expect, test } from "vitest";
import type { RuleDraft } from "#router/ports.ts";
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
afterAll(async () => {
  await store.close();
  await database.drop();
});

const draft: RuleDraft = {
  name: "Night",
  enabled: true,
  priority: 10,
  eventType: "whatsapp.inbound.*",
  provider: "wpp_gateway",
  channelId: "shop",
  condition: "payload.from_me == false",
  hours: {
    timezone: "America/Sao_Paulo",
    applies: "outside",
    weekly: [{ days: [1, 2, 3, 4, 5], from: "08:00", to: "18:00" }],
  },
  actions: [{ type: "send_message", content: { type: "text", text: "Voltamos às 8 h." } }, { type: "inbox" }],
  onMatch: "stop",
};

test("ponte begins with the default rules; the one for missed calls is off", async () => {
  const rules = await store.rules.list(DEFAULT_TENANT);
  expect(rules.map((rule) => [rule.eventType, rule.enabled, rule.actions.map((action) => action.type).join()])).toEqual(
    [
      ["whatsapp.inbound.message", true, "inbox"],
      ["billing.invoice.overdue", true, "send_message"],
      ["billing.invoice.pre_due", true, "send_message"],
      ["asaas.payment.*", true, "log"],
      ["call.missed", false, "send_message"],
      ["whatsapp.outbound.message", true, "inbox"],
    ],
  );
  expect(await store.rules.list(OTHER_TENANT)).toEqual([]);
  expect((await store.rules.history(DEFAULT_TENANT)).length).toBe(6);
});

test("every change is kept, with who made it, and counts up the tenant's revision", async () => {
  const revisions = [await store.rules.revision(OTHER_TENANT)];
  const rule = await store.rules.create(OTHER_TENANT, draft, "bia");
  expect(rule).toMatchObject({ ...draft, tenantId: OTHER_TENANT, version: 1, updatedBy: "bia" });
  revisions.push(await store.rules.revision(OTHER_TENANT));
  const { hours: _, condition: __, ...simple } = draft;
  const changed = await store.rules.change(OTHER_TENANT, rule.id, 1, { ...simple, name: "Always" }, "caio");
  expect(changed).toMatchObject({ id: rule.id, name: "Always", version: 2, updatedBy: "caio" });
  expect(changed).not.toHaveProperty("hours");
  expect(await store.rules.get(OTHER_TENANT, rule.id)).toEqual(changed);
  revisions.push(await store.rules.revision(OTHER_TENANT));
  // Somebody who saw the first version only.
  expect(await store.rules.change(OTHER_TENANT, rule.id, 1, draft, "dora")).toBe("conflict");
  expect(await store.rules.change(DEFAULT_TENANT, rule.id, 2, draft, "eve")).toBe("unknown");
  expect(await store.rules.change(OTHER_TENANT, "nonsense", 2, draft, "eve")).toBe("unknown");
  expect(await store.rules.remove(DEFAULT_TENANT, rule.id, "eve")).toBe(false);
  expect(await store.rules.remove(OTHER_TENANT, rule.id, "caio")).toBe(true);
  revisions.push(await store.rules.revision(OTHER_TENANT));
  expect(revisions).toEqual(["0", "1", "2", "3"]);
  expect(await store.rules.get(OTHER_TENANT, rule.id)).toBeUndefined();
  const history = await store.rules.history(OTHER_TENANT, rule.id);
  expect(history.map(({ version, change, by, rule: was }) => [version, change, by, was.name])).toEqual([
    [3, "deleted", "caio", "Always"],
    [2, "changed", "caio", "Always"],
    [1, "created", "bia", "Night"],
  ]);
  expect(history.at(-1)?.rule).toEqual(draft);
});

test("rules are tried by priority, then by age", async () => {
  const names = ["late", "early", "same"];
  for (const [n, priority] of [200, 5, 200].entries())
    await store.rules.create(OTHER_TENANT, { ...draft, name: names[n] ?? "", priority }, "bia");
  expect((await store.rules.list(OTHER_TENANT)).map((rule) => rule.name)).toEqual(["early", "late", "same"]);
});
