import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { RuleStore } from "#store/rules.ts";
import { DEFAULT_TENANT } from "#store/tenant.ts";
import { Tenants } from "#store/tenants.ts";
import { withDatabase } from "#test/support/database.ts";

test("knows who there is, also of those who have come since", async () => {
  const database = await withDatabase();
  try {
    const tenants = new Tenants(database.sql);
    const other = "00000000-0000-7000-8000-000000000002";
    expect(await tenants.exists(DEFAULT_TENANT)).toBe(true);
    expect(await tenants.exists(other)).toBe(false);
    await database.sql`insert into tenants (id, name) values (${other}, 'other')`;
    expect(await tenants.exists(other)).toBe(true);
    expect(await tenants.exists("no id at all")).toBe(false);
  } finally {
    await database.drop();
  }
});

test("a new tenant has the rules that the first one had in the beginning, whatever became of those", async () => {
  const database = await withDatabase();
  try {
    const tenants = new Tenants(database.sql);
    const rules = new RuleStore(database.sql, () => randomBytes(16));
    const before = await rules.list(DEFAULT_TENANT);
    const seeds = before.map(({ name }) => name).sort();
    await database.sql`update routing_rules set name = 'changed', version = 2`;
    const made = await tenants.create("Padaria Sol");
    const own = await rules.list(made.id);
    expect(own.map(({ name }) => name).sort()).toEqual(seeds);
    expect(own.filter(({ enabled }) => !enabled).map(({ eventType }) => eventType)).toEqual(["call.missed"]);
    expect(new Set([...before, ...own].map(({ id }) => id)).size).toBe(before.length + own.length);
    await expect(tenants.create("Padaria Sol")).rejects.toMatchObject({ code: "tenant_exists" });
    expect((await tenants.list()).map(({ name }) => name)).toEqual(["default", "Padaria Sol"]);
  } finally {
    await database.drop();
  }
});
