import type { Instant } from "#core/call/call.ts";
import { uuidV7 } from "#core/id.ts";
import type { Endpoint, EndpointDraft, EndpointStorePort } from "#router/ports.ts";
import type { Sql } from "./client.ts";
import { isUuid } from "./page.ts";
import { given, telling } from "./reading.ts";
import type { SecretBox } from "./secret-box.ts";

interface EndpointRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly url: string;
  readonly name: string | null;
  readonly events: readonly string[];
  readonly enabled: boolean;
  readonly disabled_reason: string | null;
  readonly allow_private: boolean;
  readonly failing_since: Date | null;
  readonly created_at: Date;
}

export interface EndpointStoreOptions {
  readonly sql: Sql;
  readonly box: SecretBox;
  /** 16 random bytes. */
  readonly random: () => Uint8Array;
}

/** Where outgoing webhooks go, and what signs them. */
export class EndpointStore implements EndpointStorePort {
  readonly #sql: Sql;
  readonly #box: SecretBox;
  readonly #random: () => Uint8Array;

  constructor({ sql, box, random }: EndpointStoreOptions) {
    this.#sql = sql;
    this.#box = box;
    this.#random = random;
  }

  async list(tenantId: string): Promise<readonly Endpoint[]> {
    const sql = this.#sql;
    const rows = await telling(
      sql<EndpointRow[]>`
        select ${columns(sql)} from webhook_endpoints where tenant_id = ${tenantId} order by created_at, id`,
    );
    return rows.map(endpointOf);
  }

  async get(tenantId: string, id: string): Promise<Endpoint | undefined> {
    if (!isUuid(id)) return undefined;
    const sql = this.#sql;
    const [row] = await telling(
      sql<EndpointRow[]>`select ${columns(sql)} from webhook_endpoints where tenant_id = ${tenantId} and id = ${id}`,
    );
    return row === undefined ? undefined : endpointOf(row);
  }

  async create(tenantId: string, draft: EndpointDraft, secret: string): Promise<Endpoint> {
    const sql = this.#sql;
    const [row] = await telling(
      sql<EndpointRow[]>`
        insert into webhook_endpoints (id, tenant_id, url, name, events, enabled, allow_private, secret)
        values (${uuidV7(Date.now(), this.#random())}, ${tenantId}, ${draft.url}, ${draft.name ?? null},
          ${[...draft.events]}::text[], ${draft.enabled}, ${draft.allowPrivate}, ${this.#box.seal(secret)})
        returning ${columns(sql)}`,
    );
    if (row === undefined) throw new Error("an endpoint that was inserted did not come back");
    return endpointOf(row);
  }

  /** One that is enabled again begins with a clean slate. */
  async change(tenantId: string, id: string, draft: Partial<EndpointDraft>): Promise<Endpoint | undefined> {
    if (!isUuid(id)) return undefined;
    const sql = this.#sql;
    const enabled = draft.enabled ?? null;
    const [row] = await telling(
      sql<EndpointRow[]>`
        update webhook_endpoints set
          url = coalesce(${draft.url ?? null}, url), name = coalesce(${draft.name ?? null}, name),
          events = coalesce(${draft.events === undefined ? null : [...draft.events]}::text[], events),
          allow_private = coalesce(${draft.allowPrivate ?? null}, allow_private),
          enabled = coalesce(${enabled}, enabled),
          disabled_reason = case when ${enabled}::boolean then null else disabled_reason end,
          failing_since = case when ${enabled}::boolean then null else failing_since end,
          updated_at = now()
        where tenant_id = ${tenantId} and id = ${id} returning ${columns(sql)}`,
    );
    return row === undefined ? undefined : endpointOf(row);
  }

  async remove(tenantId: string, id: string): Promise<boolean> {
    if (!isUuid(id)) return false;
    const gone = await telling(this.#sql`delete from webhook_endpoints where tenant_id = ${tenantId} and id = ${id}`);
    return gone.count === 1;
  }

  async rotate(tenantId: string, id: string, secret: string, oldUntil: Instant): Promise<boolean> {
    if (!isUuid(id)) return false;
    const done = await telling(
      this.#sql`
        update webhook_endpoints set
          old_secret = secret, old_secret_until = ${new Date(oldUntil)}, secret = ${this.#box.seal(secret)}, updated_at = now()
        where tenant_id = ${tenantId} and id = ${id}`,
    );
    return done.count === 1;
  }

  async secrets(id: string, now: Instant): Promise<readonly string[]> {
    if (!isUuid(id)) return [];
    const [row] = await telling(
      this.#sql<{ readonly secret: Buffer; readonly old_secret: Buffer | null }[]>`
        select secret, case when old_secret_until > ${new Date(now)} then old_secret end as old_secret
        from webhook_endpoints where id = ${id}`,
    );
    if (row === undefined) return [];
    return [row.secret, row.old_secret].filter((sealed) => sealed !== null).map((sealed) => this.#box.open(sealed));
  }

  async noted(id: string, outcome: Parameters<EndpointStorePort["noted"]>[1]): Promise<boolean> {
    const sql = this.#sql;
    if (outcome.ok) {
      await telling(
        sql`update webhook_endpoints set failing_since = null where id = ${id} and failing_since is not null`,
      );
      return false;
    }
    const at = new Date(outcome.at);
    const before = new Date(outcome.disableBefore);
    const [row] = await telling(
      sql<{ readonly disabled: boolean }[]>`
        with was as (select enabled from webhook_endpoints where id = ${id})
        update webhook_endpoints set
          failing_since = coalesce(failing_since, ${at}::timestamptz),
          enabled = enabled and coalesce(failing_since >= ${before}, true),
          disabled_reason = case when enabled and failing_since < ${before} then 'it failed for too long' else disabled_reason end
        where id = ${id}
        returning not enabled and (select enabled from was) as disabled`,
    );
    return row?.disabled ?? false;
  }
}

function columns(sql: Sql) {
  return sql`id, tenant_id, url, name, events, enabled, disabled_reason, allow_private, failing_since, created_at`;
}

function endpointOf(row: EndpointRow): Endpoint {
  return {
    id: row.id,
    tenantId: row.tenant_id,
    url: row.url,
    ...given("name", row.name),
    events: row.events,
    enabled: row.enabled,
    ...given("disabledReason", row.disabled_reason),
    allowPrivate: row.allow_private,
    ...given("failingSince", row.failing_since?.getTime()),
    createdAt: row.created_at.getTime(),
  };
}
