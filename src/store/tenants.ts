import type { TenantPort } from "#router/ports.ts";
import type { Sql } from "./client.ts";
import { isUuid } from "./page.ts";
import { telling } from "./reading.ts";

/** Who there is. */
export class Tenants implements TenantPort {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  async exists(tenantId: string): Promise<boolean> {
    if (!isUuid(tenantId)) return false;
    const rows = await telling(this.#sql`select 1 from tenants where id = ${tenantId}`);
    return rows.length > 0;
  }
}
