import type { ChannelState } from "#core/channel/channel.ts";
import type { Json } from "#core/json-read.ts";
import { isObject, objectAt, objectsIn, parseJson, present, textAt } from "#core/json-read.ts";
import type { QrCode } from "#router/services.ts";
import { unwrap } from "./gateway-http.ts";
import { jidAt } from "./jid.ts";
import { stateWord } from "./words.ts";

/** A channel as the gateway knows it. */
export interface GatewayChannel {
  readonly channelId: string;
  /** Undefined: the gateway says nothing, or a word that nobody knows. */
  readonly state?: ChannelState;
  /** The business number, digits. */
  readonly phone?: string;
  /** The gateway's own word. */
  readonly word?: string;
}

/** @param fallback the name that was asked for: some gateways do not repeat it. */
export function readChannel(json: unknown, fallback: string | undefined): GatewayChannel | undefined {
  const channel = unwrap(json, "channel", "session");
  const id = ["channel", "id", "name", "session", "channelId", "channel_id"]
    .map((key) => textAt(channel, key, 128))
    .find((text) => text !== undefined);
  // Where several names stand, the one that was asked for is the channel's; `id` may be the gateway's own number.
  const channelId = fallback ?? id;
  if (channel === undefined || channelId === undefined) return undefined;
  const words = ["state", "status", "connection"].map(
    (key) => textAt(channel, key, 64) ?? textAt(objectAt(channel, key), "state", 64),
  );
  const word = words.find((each) => each !== undefined && stateWord(each) !== undefined) ?? words.find(Boolean);
  const connected = channel["connected"] === true || channel["isConnected"] === true;
  const state = (word === undefined ? undefined : stateWord(word)) ?? (connected ? "connected" : undefined);
  const jid = jidAt(channel, "phone") ?? jidAt(channel, "number") ?? jidAt(channel, "wid") ?? jidAt(channel, "me");
  return present({ channelId, state, word, phone: jid?.kind === "phone" ? jid.user : undefined });
}

export function readChannels(json: unknown): readonly GatewayChannel[] {
  const list = Array.isArray(json)
    ? json
    : isObject(json)
      ? ["channels", "sessions", "data", "response"].map((key) => json[key]).find(Array.isArray)
      : undefined;
  return (list ?? []).flatMap((entry: unknown) => {
    if (typeof entry === "string") return [{ channelId: entry }];
    return readChannel(entry, undefined) ?? [];
  });
}

/** What phones read begins so for WhatsApp Web; a PNG begins with these bytes, in base64 with these letters. */
const PNG = Buffer.from([0x89, 0x50, 0x4e, 0x47]);
const MAX_TEXT = 2_048;
const MAX_IMAGE = 1_048_576;

/**
 * A QR code in whichever form it came: a picture as bytes, as data URL, as bare base64; or the text behind it, bare or in a
 * JSON field; or both. Undefined: none is there (yet).
 */
export function readQr(bytes: Buffer, contentType: string): QrCode | undefined {
  if (bytes.length > MAX_IMAGE) return undefined;
  if (bytes.subarray(0, 4).equals(PNG)) return { image: `data:image/png;base64,${bytes.toString("base64")}` };
  const text = bytes.toString("utf8").trim();
  const json = parseJson(text);
  if (typeof json === "string") return formOf(json);
  if (json !== undefined && json !== null && typeof json === "object") return readQrJson(json);
  return /html|image/i.test(contentType) ? undefined : formOf(text);
}

const QR_FIELDS = [
  "qr",
  "qrcode",
  "qrCode",
  "qr_code",
  "code",
  "urlcode",
  "urlCode",
  "text",
  "base64",
  "base64Qr",
  "image",
  "dataUrl",
];

function readQrJson(json: unknown): QrCode | undefined {
  for (const owner of [...objectsIn(json), ...objectsIn(unwrap(json))]) {
    const forms = QR_FIELDS.flatMap((key) => fieldForms(owner, key));
    const [image, text] = [
      forms.find((form) => form.image !== undefined),
      forms.find((form) => form.text !== undefined),
    ];
    if (image !== undefined || text !== undefined) return { ...text, ...image };
  }
  return undefined;
}

function fieldForms(owner: Json, key: string): readonly QrCode[] {
  const value = owner[key];
  const inner = isObject(value) ? readQrJson(value) : typeof value === "string" ? formOf(value) : undefined;
  return inner === undefined ? [] : [inner];
}

function formOf(value: string): QrCode | undefined {
  const text = value.trim();
  if (/^data:image\/(png|jpeg|svg\+xml|webp);base64,[\w+/=\s]+$/i.test(text)) return { image: text };
  if (/^(iVBORw0KGgo|\/9j\/)[\w+/=\s]+$/.test(text))
    return { image: `data:image/${text.startsWith("iVBOR") ? "png" : "jpeg"};base64,${text.replace(/\s/g, "")}` };
  // What a phone reads is one line without spaces, and longer than any status word.
  return text.length >= 20 && text.length <= MAX_TEXT && /^[\x21-\x7e]+$/.test(text) ? { text } : undefined;
}

/** The id of a message that was sent, wherever the answer has it. */
export function readMessageId(json: unknown): string | undefined {
  const candidates = [unwrap(json, "message"), unwrap(json), ...objectsIn(json)];
  for (const owner of candidates) {
    for (const key of ["id", "messageId", "message_id", "key"]) {
      const id = textAt(owner, key, 360) ?? serialisedId(objectAt(owner, key));
      if (id !== undefined && !/\s/.test(id)) return id;
    }
  }
  return undefined;
}

function serialisedId(value: Json | undefined): string | undefined {
  return textAt(value, "_serialized", 360) ?? textAt(value, "id", 360);
}
