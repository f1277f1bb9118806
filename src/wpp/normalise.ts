import type { Instant } from "#core/call/call.ts";
import { identitiesOf } from "#core/contact/person.ts";
import type { EventDraft } from "#core/event/draft.ts";
import { conversationKey, eventType } from "#core/event/event.ts";
import type { ConnectionUpdatePayload, DeliveryAckPayload, MessagePayload } from "#core/event/payloads.ts";
import { PAYLOAD_VERSION } from "#core/event/payloads.ts";
import type { Json } from "#core/json-read.ts";
import { instantAt, isObject, numberAt, objectAt, present, proseAt, storable, textAt } from "#core/json-read.ts";
import { readContent } from "./content.ts";
import type { Envelope } from "./envelope.ts";
import { jidAt, jidIdentity, jidOf } from "./jid.ts";
import { settingOf } from "./people.ts";
import { ackNumber, ackWord, stateWord } from "./words.ts";

/** An event; or why there is none: nobody's business, or not understood though it should have been. */
export type Normalised =
  | { readonly is: "event"; readonly draft: EventDraft }
  | { readonly is: "ignored" | "problem"; readonly what: string };

const PROVIDER = "wpp_gateway";
/** Together with channel and status it has to fit an `externalId`. */
const MAX_ID_LENGTH = 360;
/** Thumbnails and whole pictures come in base64; of longer texts only the beginning is kept in the raw body. */
const MAX_RAW_TEXT = 8_192;

const ignored = (what: string): Normalised => ({ is: "ignored", what });
const problem = (what: string): Normalised => ({ is: "problem", what });

/**
 * One happening at the gateway in the form that all providers share. Deterministic where the gateway gives ids and times, so that
 * its repetitions come to the same event.
 *
 * @param channelId where it happened, whatever the body says.
 */
export function normalise(envelope: Envelope, channelId: string, receivedAt: Instant): Normalised {
  const place = { ...envelope, channelId, receivedAt };
  switch (envelope.kind) {
    case "message":
      return readMessage(place);
    case "ack":
      return readAck(place);
    case "connection":
      return readConnection(place);
    case undefined: {
      const word = textAt(envelope.around, "event", 64) ?? "";
      return ignored(`event ${/^[\w.-]{1,64}$/.test(word) ? word : "unreadable"}`);
    }
  }
}

interface Place extends Envelope {
  readonly channelId: string;
  readonly receivedAt: Instant;
}

function readMessage({ data, around, channelId, receivedAt }: Place): Normalised {
  const setting = settingOf(data);
  if (setting === undefined) return problem("message: nobody is named");
  const { chat, person, fromMe } = setting;
  if (chat.kind === "newsletter" || (chat.kind === "broadcast" && chat.user === "status"))
    return ignored(`message in ${chat.kind}`);
  const content = readContent(data);
  if (content === undefined) return ignored("notice of WhatsApp");
  const id = idOf(data);
  if (id === undefined) return problem("message: id is missing or unusable");
  const [writer] = identitiesOf(person);
  const peer = chat.kind === "group" ? jidIdentity(chat) : writer;
  if (peer === undefined) return problem("message: nobody is named");
  // Who it was written to in a group is the group; the contract wants a person where there is one.
  if (writer === undefined && !fromMe) return problem("message: nobody wrote it");
  const at = timeOf(data, around, receivedAt);
  const payload: MessagePayload = present({
    channel: { provider: PROVIDER, id: channelId } as const,
    message_id: id,
    from: person,
    chat: present({
      kind: chat.kind === "group" ? ("group" as const) : ("direct" as const),
      id: jidOf(peer) ?? peer.address,
      name: chat.kind === "group" ? groupNameOf(data) : undefined,
    }),
    from_me: fromMe,
    sent_at: new Date(at).toISOString(),
    content,
    reply_to: quotedOf(data),
    forwarded: data["isForwarded"] === true || data["forwarded"] === true ? true : undefined,
  });
  const type = fromMe ? eventType.outboundMessage : eventType.inboundMessage;
  const draft = draftOf({ channelId, raw: data, at, payload, type, key: id });
  return { is: "event", draft: { ...draft, conversationKey: conversationKey(PROVIDER, channelId, peer) } };
}

function readAck({ data, around, channelId, receivedAt }: Place): Normalised {
  const id = idOf(data);
  if (id === undefined) return problem("ack: id is missing or unusable");
  if (data["fromMe"] === false || objectAt(data, "id")?.["fromMe"] === false) return ignored("ack of ours");
  const said = data["ack"] ?? data["status"] ?? data["ackName"];
  const number = typeof said === "number" ? said : typeof said === "string" && /^-?\d$/.test(said) ? Number(said) : NaN;
  const status = Number.isNaN(number) ? (typeof said === "string" ? ackWord(said) : undefined) : ackNumber(number);
  if (status === undefined) return ignored("ack without news");
  const chat = settingOf({ ...data, fromMe: true });
  const peer = chat === undefined ? undefined : jidIdentity(chat.chat);
  const at = timeOf(data, around, receivedAt);
  const payload: DeliveryAckPayload = present({
    channel: { provider: PROVIDER, id: channelId } as const,
    message_id: id,
    status,
    recipient: chat !== undefined && identitiesOf(chat.person).length > 0 ? chat.person : undefined,
    at: new Date(at).toISOString(),
    error: status === "failed" ? errorOf(data) : undefined,
  });
  const key = `${id}/${status}`;
  const draft = draftOf({ channelId, raw: data, at, payload, type: eventType.deliveryAck, key });
  const lane = conversationKey(PROVIDER, channelId, peer ?? { kind: "message", value: id });
  return { is: "event", draft: { ...draft, conversationKey: lane } };
}

function readConnection({ data, around, channelId, receivedAt }: Place): Normalised {
  const words = ["state", "status", "connection", "session_state"].map((key) => textAt(data, key, 64));
  const known = words.find((word) => word !== undefined && stateWord(word) !== undefined);
  const kind = textAt(around, "event", 64);
  const state = known !== undefined ? stateWord(known) : kind?.toLowerCase() === "qrcode" ? "qr" : undefined;
  if (state === undefined) return ignored("connection without a state that is known");
  const phone = jidAt(data, "phone") ?? jidAt(data, "me") ?? jidAt(data, "wid") ?? jidAt(data, "number");
  const at = timeOf(data, around, receivedAt);
  const reason = textAt(data, "reason", 256) ?? (known === undefined || known === state ? undefined : known);
  const payload: ConnectionUpdatePayload = present({
    channel: { provider: PROVIDER, id: channelId } as const,
    state,
    reason,
    phone: phone?.kind === "phone" ? phone.user : undefined,
  });
  // Whoever reads a QR code can take the number over.
  const raw = Object.fromEntries(Object.entries(data).filter(([key]) => !/qr|base64|urlcode|token|secret/i.test(key)));
  const key = `${state}/${at}`;
  const draft = draftOf({ channelId, raw, at, payload, type: eventType.connectionUpdate, key });
  return { is: "event", draft: { ...draft, conversationKey: `${PROVIDER}/${channelId}/connection` } };
}

interface DraftFacts {
  readonly channelId: string;
  readonly raw: Json;
  readonly at: Instant;
  readonly payload: EventDraft["payload"];
  readonly type: string;
  readonly key: string;
}

function draftOf({ channelId, raw, at, payload, type, key }: DraftFacts): Omit<EventDraft, "conversationKey"> {
  return {
    sourceSystem: PROVIDER,
    externalId: `${channelId}/${key}`,
    type,
    payload,
    payloadVersion: PAYLOAD_VERSION,
    raw: storable(raw, MAX_RAW_TEXT),
    provider: PROVIDER,
    channelId,
    occurredAt: at,
  };
}

/** The time that the event itself has, then that of its message, then ours. */
function timeOf(data: Json, around: Json, receivedAt: Instant): Instant {
  const owners = [
    [data, "ackedAt"],
    [data, "timestamp"],
    [around, "timestamp"],
    [data, "t"],
    [data, "messageTimestamp"],
  ] as const;
  for (const [owner, key] of owners) {
    const at = instantAt(owner, key, receivedAt) ?? isoAt(owner, key, receivedAt);
    if (at !== undefined) return at;
  }
  return receivedAt;
}

function isoAt(owner: Json, key: string, latest: Instant): Instant | undefined {
  const at = Date.parse(textAt(owner, key, 40) ?? "");
  return Number.isNaN(at) || at <= 0 ? undefined : Math.min(at, latest);
}

/** `false_5511…@c.us_3EB0…`, as text or in its parts. */
function idOf(data: Json): string | undefined {
  for (const key of ["id", "messageId", "message_id", "msgId", "key"]) {
    const id = idText(data[key]);
    if (id !== undefined) return id;
  }
  return undefined;
}

function idText(value: unknown): string | undefined {
  const parts = isObject(value) ? value : undefined;
  const whole = textAt(
    isObject(value) ? parts : { id: value },
    parts === undefined ? "id" : "_serialized",
    MAX_ID_LENGTH + 1,
  );
  const [remote, short] = [jidAt(parts, "remote"), textAt(parts, "id", 128)];
  const text = whole ?? (short === undefined ? undefined : partsText(parts, remote, short));
  return text === undefined || text.length > MAX_ID_LENGTH || /\s/.test(text) ? undefined : text;
}

function partsText(parts: Json | undefined, remote: ReturnType<typeof jidAt>, short: string): string {
  const peer = remote === undefined ? undefined : jidIdentity(remote);
  const address = peer === undefined ? undefined : jidOf(peer);
  return address === undefined ? short : `${parts?.["fromMe"] === true}_${address}_${short}`;
}

function quotedOf(data: Json): string | undefined {
  for (const key of ["quotedMsgId", "quoted_message_id", "quotedMessageId", "reply_to", "quotedMsg"]) {
    const value = data[key];
    const id =
      idText(isObject(value) && isObject(value["id"]) ? value["id"] : value) ?? idText(objectAt(data, key)?.["id"]);
    if (id !== undefined) return id;
  }
  return undefined;
}

function groupNameOf(data: Json): string | undefined {
  const group = objectAt(data, "groupInfo") ?? objectAt(data, "chat");
  return textAt(group, "name", 256) ?? textAt(data, "groupName", 256);
}

function errorOf(data: Json): { readonly code: string; readonly message: string } {
  const error = objectAt(data, "error");
  const code = textAt(error, "code", 64) ?? numberAt(error, "code") ?? "failed";
  const message = proseAt(error, "message", 300) ?? textAt(data, "error", 300) ?? "the gateway reports a failure";
  return { code: `${code}`, message };
}
