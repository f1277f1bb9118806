import { randomBytes } from "node:crypto";
import { PonteError } from "#core/error.ts";
import { uuidV7 } from "#core/id.ts";
import type { TenantPort } from "#router/ports.ts";
import type { Sql } from "./client.ts";
import { isUuid } from "./page.ts";
import { telling } from "./reading.ts";
import { DEFAULT_TENANT } from "./tenant.ts";

export interface Tenant {
  readonly id: string;
  readonly name: string;
  readonly createdAt: Date;
}

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

  async ids(): Promise<readonly string[]> {
    return (await this.list()).map(({ id }) => id);
  }

  /** Oldest first. */
  async list(): Promise<readonly Tenant[]> {
    const rows = await telling(this.#sql<Tenant[]>`
      select id, name, created_at as "createdAt" from tenants order by created_at, id`);
    return [...rows];
  }

  /** Makes a tenant with the rules that the first one had in the beginning: the first versions of those that ponte itself made. Throws PonteError `tenant_exists`. */
  async create(name: string): Promise<Tenant> {
    const id = uuidV7(Date.now(), randomBytes(16));
    const [made] = await telling(this.#sql<Tenant[]>`
      with made as (
        insert into tenants (id, name) values (${id}, ${name}) on conflict (name) do nothing returning id, name, created_at
      ), seeds as materialized (
        select gen_random_uuid() as id, v.rule from routing_rule_versions v
        where v.tenant_id = ${DEFAULT_TENANT} and v.version = 1 and v.change = 'created' and v.by = 'ponte'
      ), rules as (
        insert into routing_rules (id, tenant_id, name, enabled, priority, event_type, actions, on_match, updated_by)
        select s.id, made.id, s.rule ->> 'name', (s.rule ->> 'enabled')::boolean, (s.rule ->> 'priority')::integer,
          s.rule ->> 'event_type', s.rule -> 'actions', s.rule ->> 'on_match', 'ponte'
        from seeds s, made
      ), versions as (
        insert into routing_rule_versions (rule_id, version, tenant_id, change, rule, by)
        select s.id, 1, made.id, 'created', s.rule, 'ponte' from seeds s, made
      ), revision as (
        insert into routing_rule_revisions (tenant_id, revision) select made.id, 1 from made
      )
      select id, name, created_at as "createdAt" from made`);
    if (made === undefined) throw new PonteError("tenant_exists", `there is a tenant named ${name} already`);
    return made;
  }
}
