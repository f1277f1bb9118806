import type { Channel, ChannelState, Provider } from "#core/channel/channel.ts";
import { uuidV7 } from "#core/id.ts";
import type { JsonObject } from "#core/json.ts";
import type { ChannelChange, ChannelDirectoryPort, NewChannel } from "#router/ports.ts";
import type { Sql } from "./client.ts";
import { json } from "./json.ts";
import { isUuid } from "./page.ts";
import { given, telling } from "./reading.ts";
import type { SecretBox } from "./secret-box.ts";

interface ChannelRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly provider: Provider;
  readonly channel_id: string;
  readonly name: string | null;
  readonly enabled: boolean;
  readonly state: ChannelState;
  readonly phone: string | null;
  readonly webhook_configured: boolean;
  readonly metadata: JsonObject;
  readonly created_at: Date;
  readonly updated_at: Date;
}

export interface ChannelDirectoryOptions {
  readonly sql: Sql;
  readonly box: SecretBox;
  /** 16 random bytes. */
  readonly random: () => Uint8Array;
}

/** The channels of all tenants. */
export class ChannelDirectory implements ChannelDirectoryPort {
  readonly #sql: Sql;
  readonly #box: SecretBox;
  readonly #random: () => Uint8Array;

  constructor({ sql, box, random }: ChannelDirectoryOptions) {
    this.#sql = sql;
    this.#box = box;
    this.#random = random;
  }

  async find(provider: Provider, channelId: string): Promise<Channel | undefined> {
    const [row] = await this.#read(this.#sql`c.provider = ${provider} and c.channel_id = ${channelId}`);
    return row;
  }

  async get(tenantId: string, id: string): Promise<Channel | undefined> {
    if (!isUuid(id)) return undefined;
    const [row] = await this.#read(this.#sql`c.tenant_id = ${tenantId} and c.id = ${id}`);
    return row;
  }

  /** Oldest first. */
  list(tenantId: string): Promise<readonly Channel[]> {
    return this.#read(this.#sql`c.tenant_id = ${tenantId}`);
  }

  async put(channel: NewChannel): Promise<Channel | "taken"> {
    const sql = this.#sql;
    const { tenantId, provider, channelId, name, state, enabled, phone } = channel;
    const [row] = await telling(
      sql<ChannelRow[]>`
        insert into tenant_message_channels as c (id, tenant_id, provider, channel_id, name, state, enabled, phone)
        values (${uuidV7(Date.now(), this.#random())}, ${tenantId}, ${provider}, ${channelId}, ${name ?? null}, ${state},
          ${enabled}, ${phone ?? null})
        on conflict (provider, channel_id) do update set
          name = coalesce(excluded.name, c.name), state = excluded.state, enabled = excluded.enabled,
          phone = coalesce(excluded.phone, c.phone), updated_at = now()
          where c.tenant_id = excluded.tenant_id
        returning ${columns(sql)}`,
    );
    return row === undefined ? "taken" : channelOf(row);
  }

  async change(id: string, change: ChannelChange, was?: ChannelState): Promise<Channel | undefined> {
    if (!isUuid(id)) return undefined;
    const sql = this.#sql;
    const { name, enabled, state, phone, webhookConfigured, metadata } = change;
    const [row] = await telling(
      sql<ChannelRow[]>`
        update tenant_message_channels c set
          name = coalesce(${name ?? null}, c.name), enabled = coalesce(${enabled ?? null}, c.enabled),
          state = coalesce(${state ?? null}, c.state), phone = coalesce(${phone ?? null}, c.phone),
          webhook_configured = coalesce(${webhookConfigured ?? null}, c.webhook_configured),
          metadata = coalesce(${metadata === undefined ? null : json(metadata)}::text::jsonb, c.metadata),
          updated_at = now()
        where c.id = ${id} ${was === undefined ? sql`` : sql`and c.state = ${was}`} returning ${columns(sql)}`,
    );
    return row === undefined ? undefined : channelOf(row);
  }

  async secret(id: string): Promise<string | undefined> {
    const [row] = await telling(
      this.#sql<{ readonly secret: Buffer | null }[]>`select secret from tenant_message_channels where id = ${id}`,
    );
    return row?.secret == null ? undefined : this.#box.open(row.secret);
  }

  /** One statement: of two that come at once the second finds the secret of the first. */
  async keepSecret(id: string, secret: string): Promise<string | undefined> {
    if (!isUuid(id)) return undefined;
    const [row] = await telling(
      this.#sql<{ readonly secret: Buffer }[]>`
        update tenant_message_channels set secret = coalesce(secret, ${this.#box.seal(secret)}) where id = ${id}
        returning secret`,
    );
    return row === undefined ? undefined : this.#box.open(row.secret);
  }

  /** Its conversations go with it. */
  async remove(tenantId: string, id: string): Promise<boolean> {
    if (!isUuid(id)) return false;
    const gone = await telling(
      this.#sql`delete from tenant_message_channels where tenant_id = ${tenantId} and id = ${id}`,
    );
    return gone.count === 1;
  }

  async #read(where: ReturnType<Sql>): Promise<readonly Channel[]> {
    const sql = this.#sql;
    const rows = await telling(
      sql<ChannelRow[]>`
        select ${columns(sql)} from tenant_message_channels c where ${where} order by c.created_at, c.id`,
    );
    return rows.map(channelOf);
  }
}

function columns(sql: Sql) {
  return sql`c.id, c.tenant_id, c.provider, c.channel_id, c.name, c.enabled, c.state, c.phone, c.webhook_configured,
    c.metadata, c.created_at, c.updated_at`;
}

function channelOf(row: ChannelRow): Channel {
  return {
    id: row.id,
    tenantId: row.tenant_id,
    provider: row.provider,
    channelId: row.channel_id,
    ...given("name", row.name),
    enabled: row.enabled,
    state: row.state,
    ...given("phone", row.phone),
    webhookConfigured: row.webhook_configured,
    metadata: row.metadata,
    createdAt: row.created_at.getTime(),
    updatedAt: row.updated_at.getTime(),
  };
}
