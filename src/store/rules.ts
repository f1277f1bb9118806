import type { Provider } from "#core/channel/channel.ts";
import { uuidV7 } from "#core/id.ts";
import type { Action, Hours, Rule } from "#core/rule/rule.ts";
import type { RuleChange, RuleDraft, RuleStorePort } from "#router/ports.ts";
import type { Sql } from "./client.ts";
import { json } from "./json.ts";
import { isUuid } from "./page.ts";
import { given, telling } from "./reading.ts";

/** Changes that are shown of a tenant's rules. */
const MAX_HISTORY = 500;

/** The part of a row that a person decides; also the form in which old versions are kept. */
interface DraftRow {
  readonly name: string;
  readonly enabled: boolean;
  readonly priority: number;
  readonly event_type: string;
  readonly provider?: Provider | null;
  readonly channel_id?: string | null;
  readonly condition?: string | null;
  readonly hours?: Hours | null;
  readonly actions: readonly Action[];
  readonly on_match: "stop" | "continue";
}

interface RuleRow extends DraftRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly version: number;
  readonly updated_at: Date;
  readonly updated_by: string;
}

interface VersionRow {
  readonly rule_id: string;
  readonly version: number;
  readonly change: RuleChange["change"];
  readonly rule: DraftRow;
  readonly at: Date;
  readonly by: string;
}

/** Rules of all tenants; each change leaves its version behind and counts up the tenant's revision, in one statement. */
export class RuleStore implements RuleStorePort {
  readonly #sql: Sql;
  readonly #random: () => Uint8Array;

  /** @param random 16 random bytes. */
  constructor(sql: Sql, random: () => Uint8Array) {
    this.#sql = sql;
    this.#random = random;
  }

  async list(tenantId: string): Promise<readonly Rule[]> {
    const sql = this.#sql;
    const rows = await telling(
      sql<RuleRow[]>`
        select ${columns(sql)} from routing_rules where tenant_id = ${tenantId} order by priority, created_at, id`,
    );
    return rows.map(ruleOf);
  }

  async get(tenantId: string, id: string): Promise<Rule | undefined> {
    if (!isUuid(id)) return undefined;
    const sql = this.#sql;
    const [row] = await telling(
      sql<RuleRow[]>`select ${columns(sql)} from routing_rules where tenant_id = ${tenantId} and id = ${id}`,
    );
    return row === undefined ? undefined : ruleOf(row);
  }

  async create(tenantId: string, draft: RuleDraft, by: string): Promise<Rule> {
    const sql = this.#sql;
    const row = rowOf(draft);
    const id = uuidV7(Date.now(), this.#random());
    const [made] = await telling(
      sql<RuleRow[]>`
        with done as (
          insert into routing_rules (id, tenant_id, name, enabled, priority, event_type, provider, channel_id, condition, hours,
            actions, on_match, updated_by)
          select ${id}, ${tenantId}, g.name, g.enabled, g.priority, g.event_type, g.provider, g.channel_id, g.condition, g.hours,
            g.actions, g.on_match, ${by}
          from jsonb_populate_record(null::routing_rules, ${json(row)}::text::jsonb) g
          returning *
        ), ${noted(sql, tenantId, "created", row, by)}
        select ${columns(sql)} from done`,
    );
    if (made === undefined) throw new Error("a rule that was inserted did not come back");
    return ruleOf(made);
  }

  async change(
    tenantId: string,
    id: string,
    version: number,
    draft: RuleDraft,
    by: string,
  ): Promise<Rule | "unknown" | "conflict"> {
    if (!isUuid(id)) return "unknown";
    const sql = this.#sql;
    const row = rowOf(draft);
    const [changed] = await telling(
      sql<RuleRow[]>`
        with done as (
          update routing_rules r set name = g.name, enabled = g.enabled, priority = g.priority, event_type = g.event_type,
            provider = g.provider, channel_id = g.channel_id, condition = g.condition, hours = g.hours, actions = g.actions,
            on_match = g.on_match, version = r.version + 1, updated_at = now(), updated_by = ${by}
          from jsonb_populate_record(null::routing_rules, ${json(row)}::text::jsonb) g
          where r.tenant_id = ${tenantId} and r.id = ${id} and r.version = ${version}
          returning r.*
        ), ${noted(sql, tenantId, "changed", row, by)}
        select ${columns(sql)} from done`,
    );
    if (changed !== undefined) return ruleOf(changed);
    return (await this.get(tenantId, id)) === undefined ? "unknown" : "conflict";
  }

  async remove(tenantId: string, id: string, by: string): Promise<boolean> {
    const before = await this.get(tenantId, id);
    if (before === undefined) return false;
    const sql = this.#sql;
    // The deletion is a version of its own.
    const gone = await telling(
      sql`
        with gone as (
          delete from routing_rules where tenant_id = ${tenantId} and id = ${id} returning *
        ), done as (
          select id, tenant_id, version + 1 as version from gone
        ), ${noted(sql, tenantId, "deleted", rowOf(before), by)}
        select from done`,
    );
    return gone.length === 1;
  }

  async history(tenantId: string, id?: string): Promise<readonly RuleChange[]> {
    if (id !== undefined && !isUuid(id)) return [];
    const sql = this.#sql;
    const rows = await telling(
      sql<VersionRow[]>`
        select rule_id, version, change, rule, at, by from routing_rule_versions
        where tenant_id = ${tenantId} ${id === undefined ? sql`` : sql`and rule_id = ${id}`}
        order by at desc, version desc limit ${MAX_HISTORY}`,
    );
    return rows.map(({ rule_id, rule, at, ...rest }) => ({
      ruleId: rule_id,
      ...rest,
      at: at.getTime(),
      rule: draftOf(rule),
    }));
  }

  async revision(tenantId: string): Promise<string> {
    const [row] = await telling(
      this.#sql<{ readonly revision: string }[]>`
        select revision::text from routing_rule_revisions where tenant_id = ${tenantId}`,
    );
    return row?.revision ?? "0";
  }
}

/** CTEs that keep the version of the rule in `done` and count up the tenant's revision. */
function noted(sql: Sql, tenantId: string, change: RuleChange["change"], rule: DraftRow, by: string) {
  return sql`
    kept as (
      insert into routing_rule_versions (rule_id, version, tenant_id, change, rule, by)
      select id, version, tenant_id, ${change}, ${json(rule)}::text::jsonb, ${by} from done
    ), counted as (
      insert into routing_rule_revisions as n (tenant_id, revision) select ${tenantId}, 1 from done
      on conflict (tenant_id) do update set revision = n.revision + 1
    )`;
}

function columns(sql: Sql) {
  return sql`id, tenant_id, name, enabled, priority, event_type, provider, channel_id, condition, hours, actions, on_match,
    version, updated_at, updated_by`;
}

function rowOf(draft: RuleDraft): DraftRow {
  return {
    name: draft.name,
    enabled: draft.enabled,
    priority: draft.priority,
    event_type: draft.eventType,
    ...given("provider", draft.provider),
    ...given("channel_id", draft.channelId),
    ...given("condition", draft.condition),
    ...given("hours", draft.hours),
    actions: draft.actions,
    on_match: draft.onMatch,
  };
}

function draftOf(row: DraftRow): RuleDraft {
  return {
    name: row.name,
    enabled: row.enabled,
    priority: row.priority,
    eventType: row.event_type,
    ...given("provider", row.provider),
    ...given("channelId", row.channel_id),
    ...given("condition", row.condition),
    ...given("hours", row.hours),
    actions: row.actions,
    onMatch: row.on_match,
  };
}

function ruleOf(row: RuleRow): Rule {
  return {
    id: row.id,
    tenantId: row.tenant_id,
    ...draftOf(row),
    version: row.version,
    updatedAt: row.updated_at.getTime(),
    updatedBy: row.updated_by,
  };
}
