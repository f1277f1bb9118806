import type { EventId } from "#core/event/event.ts";
import type { MessageContent } from "#core/message/content.ts";
import type { Message, MessageState } from "#core/message/message.ts";
import type { Sql } from "./client.ts";
import { given } from "./reading.ts";

/** A row of `messages`. */
export interface MessageRow {
  readonly id: string;
  readonly conversation_id: string;
  readonly direction: "in" | "out";
  readonly provider_message_id: string | null;
  readonly content: MessageContent;
  readonly state: MessageState;
  readonly error_code: string | null;
  readonly error_message: string | null;
  readonly author: string | null;
  readonly event_id: EventId | null;
  readonly reply_to: string | null;
  readonly at: Date;
  readonly sent_at: Date | null;
  readonly delivered_at: Date | null;
  readonly read_at: Date | null;
}

export function messageColumns(sql: Sql) {
  return sql`m.id, m.conversation_id, m.direction, m.provider_message_id, m.content, m.state, m.error_code, m.error_message,
    m.author, m.event_id, m.reply_to, m.at, m.sent_at, m.delivered_at, m.read_at`;
}

export function messageOf(row: MessageRow): Message {
  return {
    id: row.id,
    conversationId: row.conversation_id,
    direction: row.direction,
    ...given("providerMessageId", row.provider_message_id),
    content: row.content,
    state: row.state,
    ...(row.error_code === null ? {} : { error: { code: row.error_code, message: row.error_message ?? "" } }),
    ...given("author", row.author),
    ...given("eventId", row.event_id),
    ...given("replyTo", row.reply_to),
    at: row.at.getTime(),
    ...given("sentAt", row.sent_at?.getTime()),
    ...given("deliveredAt", row.delivered_at?.getTime()),
    ...given("readAt", row.read_at?.getTime()),
  };
}

/** What a list of conversations shows of a message, characters. */
const PREVIEW_LENGTH = 120;

/** A message in one short line, for lists. */
export function previewOf(content: MessageContent): string {
  return previewText(content).replaceAll(/\s+/g, " ").slice(0, PREVIEW_LENGTH);
}

function previewText(content: MessageContent): string {
  switch (content.type) {
    case "text":
      return content.text;
    case "template":
      return content.fallback_text ?? content.name;
    case "interactive":
      return content.body;
    case "reply":
      return content.title;
    case "reaction":
      return content.emoji;
    case "location":
      return content.name ?? content.address ?? "location";
    case "contacts":
      return content.contacts.map((contact) => contact.name ?? "").join(", ") || "contacts";
    case "unsupported":
      return content.kind;
    default:
      return content.caption ?? content.filename ?? content.type;
  }
}
