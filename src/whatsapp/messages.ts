import type { Instant } from "#core/call/call.ts";
import { groupIdentity, identitiesOf } from "#core/contact/person.ts";
import type { EventDraft } from "#core/event/draft.ts";
import { conversationKey, eventType } from "#core/event/event.ts";
import type { DeliveryAckPayload, MessagePayload, Person } from "#core/event/payloads.ts";
import { PAYLOAD_VERSION } from "#core/event/payloads.ts";
import type { JsonObject } from "#core/json.ts";
import type { Json } from "#core/json-read.ts";
import { digitsAt, instantAt, numberAt, objectAt, objectsIn, present, storable, textAt } from "#core/json-read.ts";
import { readContent } from "./message-content.ts";

/** What the messages and statuses of one change come to. */
export interface MessagesReading {
  readonly events: readonly EventDraft[];
  /** Free of personal data. */
  readonly problems: readonly string[];
  /** Meta's words for what is no event of ours: statuses such as `deleted`. */
  readonly ignored: readonly string[];
}

/** The `value` of a change and where it stands. */
export interface MessagesChange {
  readonly value: Json;
  /** For problems: `entry[0].changes[0].value`. */
  readonly path: string;
  readonly receivedAt: Instant;
}

/** The fields of a webhook that this file reads. `smb_message_echoes`: written in the WhatsApp Business app beside the API. */
export const MESSAGE_FIELDS: ReadonlySet<string> = new Set(["messages", "smb_message_echoes"]);

/** An id becomes part of an event's `externalId`, together with a number and a status. */
const MAX_ID_LENGTH = 400;
/** Meta batches up to 1000 updates. */
const MAX_ENTRIES = 2_000;
const MAX_NAME_LENGTH = 256;
const PROVIDER = "cloud_api";

/**
 * Translates a change of the field `messages`: incoming messages, echoes of those written on the phone, and the statuses of
 * ours. Deterministic, so that Meta's repetitions come to the same events. Never throws.
 */
export function readMessages({ value, path, receivedAt }: MessagesChange): MessagesReading {
  const notes = { events: [] as EventDraft[], problems: [] as string[], ignored: [] as string[] };
  const channelId = textAt(objectAt(value, "metadata"), "phone_number_id", 64);
  if (channelId === undefined || !/^\d{1,32}$/.test(channelId))
    return { ...notes, problems: [`${path}: metadata.phone_number_id is missing or unusable`] };
  const lists = [
    ["messages", readMessage],
    ["message_echoes", readMessage],
    ["statuses", readStatus],
  ] as const;
  for (const [list, read] of lists)
    for (const [index, entry] of objectsIn(value[list]).slice(0, MAX_ENTRIES).entries()) {
      const draft = read({ value, entry, channelId, receivedAt, echo: list === "message_echoes" });
      if (typeof draft !== "string") notes.events.push(draft);
      else if (draft.startsWith("status ")) notes.ignored.push(draft);
      else notes.problems.push(`${path}.${list}[${index}]: ${draft}`);
    }
  // An error without a message: a number that is restricted is told so.
  const codes = objectsIn(value["errors"]).map((error) => numberAt(error, "code") ?? "unreadable");
  if (codes.length > 0) notes.problems.push(`${path}: Meta reports errors ${codes.slice(0, 5).join(" ")}`);
  if (notes.events.length + notes.problems.length + notes.ignored.length === 0) notes.ignored.push("empty messages");
  return notes;
}

interface Entry {
  readonly value: Json;
  readonly entry: Json;
  readonly channelId: string;
  readonly receivedAt: Instant;
  readonly echo: boolean;
}

/** A draft, or why there is none. */
function readMessage({ value, entry, channelId, receivedAt, echo }: Entry): EventDraft | string {
  const id = idOf(entry);
  if (id === undefined) return "id is missing or unusable";
  const person = echo ? personOf(value, entry, "to") : personOf(value, entry, "from");
  const [identity] = identitiesOf(person);
  if (identity === undefined) return "nobody wrote it";
  const group = textAt(entry, "group_id", 128);
  const context = objectAt(entry, "context");
  const at = instantAt(entry, "timestamp", receivedAt) ?? receivedAt;
  const payload: MessagePayload = present({
    channel: { provider: PROVIDER, id: channelId } as const,
    message_id: id,
    from: person,
    chat:
      group === undefined ? { kind: "direct" as const, id: identity.address } : { kind: "group" as const, id: group },
    from_me: echo,
    sent_at: new Date(at).toISOString(),
    content: readContent(entry),
    reply_to: textAt(context, "id", MAX_ID_LENGTH),
    forwarded: context?.["forwarded"] === true || context?.["frequently_forwarded"] === true ? true : undefined,
  });
  return {
    sourceSystem: PROVIDER,
    externalId: `${channelId}/${id}`,
    type: echo ? eventType.outboundMessage : eventType.inboundMessage,
    payload,
    payloadVersion: PAYLOAD_VERSION,
    raw: rawOf(value, entry),
    provider: PROVIDER,
    channelId,
    conversationKey: conversationKey(PROVIDER, channelId, group === undefined ? identity : groupIdentity(group)),
    occurredAt: at,
  };
}

/** `played`: a voice message was heard, which is more than read. */
const statusWords: Readonly<Record<string, DeliveryAckPayload["status"]>> = {
  sent: "sent",
  delivered: "delivered",
  read: "read",
  played: "read",
  failed: "failed",
};

function readStatus({ value, entry, channelId, receivedAt }: Entry): EventDraft | string {
  const id = idOf(entry);
  if (id === undefined) return "id is missing or unusable";
  const word = textAt(entry, "status", 64)?.toLowerCase() ?? "";
  const status = Object.hasOwn(statusWords, word) ? statusWords[word] : undefined;
  if (status === undefined) return `status ${/^[a-z_]{1,64}$/.test(word) ? word : "unreadable"}`;
  const recipient = personOf(value, entry, "recipient");
  const [identity] = identitiesOf(recipient);
  const group = entry["recipient_type"] === "group" ? textAt(entry, "recipient_id", 128) : undefined;
  const at = instantAt(entry, "timestamp", receivedAt) ?? receivedAt;
  const payload: DeliveryAckPayload = present({
    channel: { provider: PROVIDER, id: channelId } as const,
    message_id: id,
    status,
    recipient: identity === undefined ? undefined : recipient,
    at: new Date(at).toISOString(),
    error: errorOf(entry),
  });
  const peer = group === undefined ? (identity ?? { kind: "message", value: id }) : groupIdentity(group);
  return {
    sourceSystem: PROVIDER,
    externalId: `${channelId}/${id}/${word}`,
    type: eventType.deliveryAck,
    payload,
    payloadVersion: PAYLOAD_VERSION,
    raw: rawOf(value, entry),
    provider: PROVIDER,
    channelId,
    conversationKey: conversationKey(PROVIDER, channelId, peer),
    occurredAt: at,
  };
}

function idOf(entry: Json): string | undefined {
  const id = textAt(entry, "id", MAX_ID_LENGTH + 1);
  return id === undefined || id.length > MAX_ID_LENGTH || /\s/.test(id) ? undefined : id;
}

/** People with a user name may have no number, only a business-scoped user id. The name stands in `contacts[]`. */
function personOf(value: Json, entry: Json, side: "from" | "to" | "recipient"): Person {
  const said = digitsAt(entry, side === "recipient" ? "recipient_id" : side);
  const saidId = textAt(entry, `${side}_user_id`, 200);
  const contact = objectsIn(value["contacts"]).find(
    (candidate) =>
      (said !== undefined && digitsAt(candidate, "wa_id") === said) ||
      (saidId !== undefined && textAt(candidate, "user_id", 200) === saidId),
  );
  const profile = objectAt(contact, "profile");
  return present({
    phone: said ?? digitsAt(contact, "wa_id"),
    bsuid: saidId ?? textAt(contact, "user_id", 200),
    username: textAt(profile, "username", MAX_NAME_LENGTH),
    name: textAt(profile, "name", MAX_NAME_LENGTH),
  });
}

function errorOf(entry: Json): { readonly code: string; readonly message: string } | undefined {
  const [error] = objectsIn(entry["errors"]);
  if (error === undefined) return undefined;
  const details = textAt(objectAt(error, "error_data"), "details", 500);
  const title = textAt(error, "title", 200) ?? textAt(error, "message", 200);
  return { code: `${numberAt(error, "code") ?? "unknown"}`, message: details ?? title ?? "no reason was given" };
}

/** The entry with what stands around it and belongs to it; a batch of a thousand would otherwise be kept a thousand times. */
function rawOf(value: Json, entry: Json): JsonObject {
  const [contact] = objectsIn(value["contacts"]).filter(
    ({ wa_id, user_id }) =>
      (wa_id !== undefined && [entry["from"], entry["recipient_id"]].includes(wa_id)) ||
      (user_id !== undefined && [entry["from_user_id"], entry["recipient_user_id"]].includes(user_id)),
  );
  return storable(present({ metadata: value["metadata"], contact, entry }));
}
