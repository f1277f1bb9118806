import { expect, test } from "vitest";
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
