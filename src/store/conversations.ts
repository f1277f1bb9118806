import type { Provider } from "#core/channel/channel.ts";
import type { Identity } from "#core/contact/identity.ts";
import { PonteError } from "#core/error.ts";
import { uuidV7 } from "#core/id.ts";
import type { Message } from "#core/message/message.ts";
import type {
  Conversation,
  ConversationChange,
  ConversationFilter,
  InboxPort,
  MessageAck,
  Moved,
  NewMessage,
  Page,
  PageQuery,
  StoredMessage,
} from "#router/ports.ts";
import { persistently } from "./batches.ts";
import type { Sql } from "./client.ts";
import { contactOf, identitiesOf } from "./contacts.ts";
import { json } from "./json.ts";
import { type MessageRow, messageColumns, messageOf, previewOf } from "./message-row.ts";
import { cursorOf, cursorPart, isUuid, pageLimit, pageOf, readCursor } from "./page.ts";
import { given, telling } from "./reading.ts";

/** A conversation may be made, and removed with its channel, at the same time. */
const MAX_ROUNDS = 3;

interface ConversationRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly channel: string;
  readonly provider: Provider;
  readonly channel_id: string;
  readonly contact_id: string;
  readonly name: string | null;
  readonly identities: readonly Identity[];
  readonly state: "open" | "closed";
  readonly unread: number;
  readonly assignee: string | null;
  readonly last_at: Date;
  readonly last_direction: "in" | "out" | null;
  readonly last_preview: string | null;
  readonly last_inbound_at: Date | null;
}

/** The internal chat: conversations and their messages. */
export class Conversations implements InboxPort {
  readonly #sql: Sql;
  readonly #random: () => Uint8Array;

  /** @param random 16 random bytes. */
  constructor(sql: Sql, random: () => Uint8Array) {
    this.#sql = sql;
    this.#random = random;
  }

  async put(message: NewMessage): Promise<StoredMessage> {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const stored = await this.#insert(message);
      if (stored !== undefined) return { message: messageOf(stored), duplicate: false };
      const known = await this.#known(message);
      if (known !== undefined) return { message: messageOf(known), duplicate: true };
      await this.#open(message);
    }
    throw new PonteError("store_failed", "a message found no conversation to be put into");
  }

  async ack(ack: MessageAck): Promise<Moved | "late" | "early" | "unknown"> {
    const sql = this.#sql;
    const at = new Date(ack.at);
    const [row] = await telling(
      sql<
        {
          readonly id: string | null;
          readonly conversation: string | null;
          readonly known: number;
          readonly sending: boolean;
        }[]
      >`
        with channel as materialized (
          select id from tenant_message_channels
          where provider = ${ack.provider} and channel_id = ${ack.channelId} and tenant_id = ${ack.tenantId}
        ), found as materialized (
          select m.id from messages m join channel c on c.id = m.channel
          where m.provider_message_id = ${ack.providerMessageId} and m.direction = 'out'
        ), moved as (
          update messages m set
            state = ${ack.status},
            sent_at = coalesce(m.sent_at, ${at}),
            delivered_at = case when ${ack.status} in ('delivered', 'read') then coalesce(m.delivered_at, ${at}) end,
            read_at = case when ${ack.status} = 'read' then ${at}::timestamptz end,
            error_code = ${ack.error?.code ?? null}, error_message = ${ack.error?.message ?? null}
          from found where m.id = found.id and ${rank(sql, sql`${ack.status}::text`)} > ${rank(sql, sql`m.state`)}
          returning m.id, m.conversation_id
        )
        select moved.id, moved.conversation_id as conversation, (select count(*)::int from found) as known, exists (
          select from messages m join channel c on c.id = m.channel
          where m.state = 'queued' and m.provider_message_id is null) as sending
        from (values (1)) as one left join moved on true`,
    );
    if (row?.id && row.conversation) return { messageId: row.id, conversationId: row.conversation };
    if ((row?.known ?? 0) > 0) return "late";
    return row?.sending === true ? "early" : "unknown";
  }

  /** The gateway may have told of the message, as written on the business phone, before it answered: the two become one. */
  async sent(id: string, outcome: Parameters<InboxPort["sent"]>[1]): Promise<void> {
    const sql = this.#sql;
    if ("error" in outcome) {
      const { code, message } = outcome.error;
      await telling(
        sql`update messages set state = 'failed', error_code = ${code}, error_message = ${message}
          where id = ${id} and state = 'queued'`,
      );
      return;
    }
    await telling(
      sql`
        with echo as (
          delete from messages e using messages m
          where m.id = ${id} and e.channel = m.channel and e.provider_message_id = ${outcome.providerMessageId} and e.id <> m.id
          returning e.state
        )
        update messages m set
          provider_message_id = ${outcome.providerMessageId}, sent_at = coalesce(m.sent_at, now()),
          state = case when m.state in ('queued', 'failed') then coalesce((select state from echo), 'sent') else m.state end,
          error_code = null, error_message = null
        where m.id = ${id} and (select count(*) from echo) >= 0`,
    );
  }

  async message(
    id: string,
  ): Promise<
    (Message & { readonly tenantId: string; readonly contactId: string; readonly channel: string }) | undefined
  > {
    if (!isUuid(id)) return undefined;
    const sql = this.#sql;
    const [row] = await telling(
      sql<(MessageRow & { readonly tenant_id: string; readonly contact_id: string; readonly channel: string })[]>`
        select ${messageColumns(sql)}, m.tenant_id, m.channel, v.contact_id
        from messages m join conversations v on v.id = m.conversation_id where m.id = ${id}`,
    );
    if (row === undefined) return undefined;
    return { ...messageOf(row), tenantId: row.tenant_id, contactId: row.contact_id, channel: row.channel };
  }

  async conversation(tenantId: string, id: string): Promise<Conversation | undefined> {
    if (!isUuid(id)) return undefined;
    const [row] = await this.#read(this.#sql`v.tenant_id = ${tenantId} and v.id = ${id}`, 1);
    return row === undefined ? undefined : conversationOf(row);
  }

  /** Those with the newest message first. */
  async conversations(query: PageQuery & ConversationFilter): Promise<Page<Conversation>> {
    const sql = this.#sql;
    const limit = pageLimit(query.limit);
    const [at, id] = query.cursor === undefined ? [] : readCursor(query.cursor, cursorPart.time, cursorPart.uuid);
    if (query.channel !== undefined && !isUuid(query.channel)) return { items: [] };
    const rows = await this.#read(
      sql`v.tenant_id = ${query.tenantId}
        ${query.state === undefined ? sql`` : sql`and v.state = ${query.state}`}
        ${query.unreadOnly === true ? sql`and v.unread > 0` : sql``}
        ${query.assignee === undefined ? sql`` : sql`and v.assignee = ${query.assignee}`}
        ${query.channel === undefined ? sql`` : sql`and v.channel = ${query.channel}`}
        ${at === undefined || id === undefined ? sql`` : sql`and (v.last_at, v.id) < (${at}::timestamptz, ${id}::uuid)`}`,
      limit + 1,
    );
    return pageOf(rows, limit, conversationOf, (row) => cursorOf(row.last_at.toISOString(), row.id));
  }

  async messages(query: PageQuery & { readonly conversationId: string }): Promise<Page<Message>> {
    const sql = this.#sql;
    const limit = pageLimit(query.limit);
    const [at, id] = query.cursor === undefined ? [] : readCursor(query.cursor, cursorPart.time, cursorPart.uuid);
    if (!isUuid(query.conversationId)) return { items: [] };
    const rows = await telling(
      sql<MessageRow[]>`
        select ${messageColumns(sql)} from messages m
        where m.tenant_id = ${query.tenantId} and m.conversation_id = ${query.conversationId}
          ${at === undefined || id === undefined ? sql`` : sql`and (m.at, m.id) < (${at}::timestamptz, ${id}::uuid)`}
        order by m.at desc, m.id desc limit ${limit + 1}`,
    );
    return pageOf(rows, limit, messageOf, (row) => cursorOf(row.at.toISOString(), row.id));
  }

  async change(tenantId: string, id: string, change: ConversationChange): Promise<Conversation | undefined> {
    if (!isUuid(id)) return undefined;
    const sql = this.#sql;
    await telling(
      sql`
        update conversations set
          state = coalesce(${change.state ?? null}, state),
          assignee = ${change.assignee === undefined ? sql`assignee` : sql`${change.assignee}::text`},
          unread = ${change.read === true ? 0 : sql`unread`}
        where tenant_id = ${tenantId} and id = ${id}`,
    );
    return await this.conversation(tenantId, id);
  }

  /** The message and what its conversation shows of it. Undefined: it is known already, or there is no conversation. */
  async #insert(message: NewMessage): Promise<MessageRow | undefined> {
    const sql = this.#sql;
    const [row] = await telling(
      persistently(
        () => sql<MessageRow[]>`
          with m as (
            insert into messages (id, tenant_id, conversation_id, channel, direction, provider_message_id, idem, content, state,
              author, event_id, reply_to, at, sent_at)
            select ${message.id}, v.tenant_id, v.id, v.channel, ${message.direction}, ${message.providerMessageId ?? null},
              ${message.idem ?? null}, ${json(message.content)}::text::jsonb, ${message.state}, ${message.author ?? null},
              ${message.eventId ?? null}, ${message.replyTo ?? null}, ${new Date(message.at)},
              ${message.state === "sent" ? new Date(message.at) : null}::timestamptz
            from conversations v
            where v.tenant_id = ${message.tenantId} and v.channel = ${message.channel} and v.contact_id = ${message.contactId}
            on conflict do nothing
            returning *
          ), shown as (
            update conversations v set
              unread = v.unread + (m.direction = 'in')::int,
              state = case when m.direction = 'in' then 'open' else v.state end,
              assignee = coalesce(v.assignee, ${message.assignee ?? null}),
              last_inbound_at = case when m.direction = 'in' then greatest(v.last_inbound_at, m.at) else v.last_inbound_at end,
              last_at = greatest(v.last_at, m.at),
              last_direction = case when m.at >= v.last_at then m.direction else v.last_direction end,
              last_preview = case when m.at >= v.last_at then ${previewOf(message.content)} else v.last_preview end
            from m where v.id = m.conversation_id
          )
          select ${messageColumns(sql)} from m`,
      ),
    );
    return row;
  }

  async #known(message: NewMessage): Promise<MessageRow | undefined> {
    const sql = this.#sql;
    const [row] = await telling(
      sql<MessageRow[]>`
        select ${messageColumns(sql)} from messages m
        where m.id = ${message.id} or m.idem = ${message.idem ?? null}
          or (m.channel = ${message.channel} and m.provider_message_id = ${message.providerMessageId ?? null})
        limit 1`,
    );
    return row;
  }

  async #open(message: NewMessage): Promise<void> {
    const sql = this.#sql;
    await telling(
      sql`
        insert into conversations (id, tenant_id, channel, contact_id, last_at)
        values (${uuidV7(Date.now(), this.#random())}, ${message.tenantId}, ${message.channel}, ${message.contactId},
          ${new Date(message.at)})
        on conflict (channel, contact_id) do nothing`,
    );
  }

  async #read(where: ReturnType<Sql>, limit: number): Promise<readonly ConversationRow[]> {
    const sql = this.#sql;
    return await telling(
      sql<ConversationRow[]>`
        select v.id, v.tenant_id, v.channel, h.provider, h.channel_id, v.contact_id, c.name, ${identitiesOf(sql)} as identities,
          v.state, v.unread, v.assignee, v.last_at, v.last_direction, v.last_preview, v.last_inbound_at
        from conversations v join contacts c on c.id = v.contact_id join tenant_message_channels h on h.id = v.channel
        where ${where} order by v.last_at desc, v.id desc limit ${limit}`,
    );
  }
}

/**
 * The order of an outgoing message's states. `failed` comes after `sent`, so that a message that was read never fails, and before
 * `delivered`, so that one that arrived after all is delivered.
 */
function rank(sql: Sql, state: ReturnType<Sql>) {
  return sql`array_position('{queued,sent,failed,delivered,read}'::text[], ${state})`;
}

function conversationOf(row: ConversationRow): Conversation {
  return {
    id: row.id,
    channel: row.channel,
    provider: row.provider,
    channelId: row.channel_id,
    contact: contactOf({ id: row.contact_id, tenant_id: row.tenant_id, name: row.name, identities: row.identities }),
    state: row.state,
    unread: row.unread,
    ...given("assignee", row.assignee),
    ...(row.last_direction === null
      ? {}
      : { lastMessage: { at: row.last_at.getTime(), direction: row.last_direction, preview: row.last_preview ?? "" } }),
    ...given("lastInboundAt", row.last_inbound_at?.getTime()),
  };
}
