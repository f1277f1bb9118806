import type { Json } from "#core/json-read.ts";
import { numberAt, objectAt, objectsIn, present, proseAt, textAt } from "#core/json-read.ts";
import type { IncomingContent, MediaContent } from "#core/message/content.ts";

/** WhatsApp allows 65,536 characters in a text. */
const MAX_TEXT_LENGTH = 65_536;
const MAX_TITLE_LENGTH = 1_024;
const MAX_URL_LENGTH = 2_048;
const MAX_CONTACTS = 50;

/** Notices of WhatsApp itself, and messages that come again as soon as they are decrypted. */
const notices: ReadonlySet<string> = new Set(
  "e2e_notification notification notification_template gp2 protocol broadcast_notification ciphertext call_log".split(
    " ",
  ),
);

const mediaTypes: Readonly<Record<string, MediaContent["type"]>> = {
  image: "image",
  video: "video",
  gif: "video",
  ptv: "video",
  audio: "audio",
  ptt: "voice",
  voice: "voice",
  document: "document",
  sticker: "sticker",
};

/** What a message says. Undefined: it is a notice that nobody wrote. */
export function readContent(message: Json): IncomingContent | undefined {
  const type = typeOf(message);
  if (notices.has(type)) return undefined;
  const media = Object.hasOwn(mediaTypes, type) ? mediaTypes[type] : undefined;
  if (media !== undefined) return readMedia(media, message);
  switch (type) {
    case "chat":
    case "text": {
      const text = bodyOf(message);
      return text === undefined ? { type: "unsupported", kind: type } : { type: "text", text };
    }
    case "location":
      return readLocation(message) ?? { type: "unsupported", kind: type };
    case "vcard":
    case "multi_vcard":
    case "contacts":
      return { type: "contacts", contacts: readCards(message) };
    case "reaction":
      return readReaction(message) ?? { type: "unsupported", kind: type };
    case "list_response":
    case "buttons_response":
    case "template_button_reply":
      return readChoice(message) ?? { type: "unsupported", kind: type };
    default:
      return { type: "unsupported", kind: type };
  }
}

function typeOf(message: Json): string {
  const word = textAt(message, "type", 64)?.toLowerCase() ?? (bodyOf(message) === undefined ? "unknown" : "chat");
  return /^[a-z0-9_]+$/.test(word) ? word : "unknown";
}

function bodyOf(message: Json): string | undefined {
  return (
    proseAt(message, "body", MAX_TEXT_LENGTH) ??
    proseAt(message, "text", MAX_TEXT_LENGTH) ??
    proseAt(message, "content", MAX_TEXT_LENGTH)
  );
}

/** `body` of media is a thumbnail in base64, so only `caption` is a caption. */
function readMedia(type: MediaContent["type"], message: Json): MediaContent {
  const media = objectAt(message, "mediaData") ?? objectAt(message, "media");
  const url = ["mediaUrl", "media_url", "url"].map((key) => textAt(message, key, MAX_URL_LENGTH)).find(Boolean);
  return present({
    type,
    mime_type: textAt(message, "mimetype", 128) ?? textAt(message, "mime_type", 128) ?? textAt(media, "mimetype", 128),
    caption: proseAt(message, "caption", MAX_TEXT_LENGTH),
    filename: textAt(message, "filename", 256) ?? textAt(message, "fileName", 256),
    size_bytes: numberAt(message, "size") ?? numberAt(media, "size"),
    duration_s: numberAt(message, "duration") ?? numberAt(media, "duration"),
    sha256: textAt(message, "filehash", 128),
    media_id: textAt(message, "mediaId", 400) ?? textAt(message, "media_id", 400),
    // Anything else is a file of the gateway's own machine.
    url: url !== undefined && /^https?:\/\//i.test(url) ? url : undefined,
  });
}

function readLocation(message: Json): IncomingContent | undefined {
  const latitude = degreesAt(message, ["lat", "latitude"], 90);
  const longitude = degreesAt(message, ["lng", "longitude"], 180);
  if (latitude === undefined || longitude === undefined) return undefined;
  const name = textAt(message, "loc", MAX_TITLE_LENGTH) ?? textAt(message, "name", MAX_TITLE_LENGTH);
  return present({ type: "location" as const, latitude, longitude, name });
}

function degreesAt(owner: Json, keys: readonly string[], most: number): number | undefined {
  const value = keys.map((key) => owner[key]).find((each) => each !== undefined);
  const number = typeof value === "string" && /^-?\d{1,3}(\.\d+)?$/.test(value) ? Number(value) : value;
  return typeof number === "number" && Math.abs(number) <= most ? number : undefined;
}

/** vCards (RFC 6350) as far as a chat needs them: the name, and what stands behind TEL. */
function readCards(message: Json): readonly { readonly name?: string; readonly phones: readonly string[] }[] {
  const cards = objectsIn(message["vcardList"]).map(
    (card) => [textAt(card, "displayName", 256), card["vcard"]] as const,
  );
  const all = cards.length > 0 ? cards : [[textAt(message, "vcardFormattedName", 256), message["body"]] as const];
  return all.slice(0, MAX_CONTACTS).map(([given, card]) => {
    const lines = typeof card === "string" ? card.slice(0, 16_384).split(/\r?\n/) : [];
    const name = given ?? lines.find((line) => /^FN[;:]/i.test(line))?.replace(/^[^:]*:/, "");
    const phones = lines
      .filter((line) => /^(item\d+\.)?TEL[;:]/i.test(line))
      .map((line) => line.replace(/^.*:/, "").trim());
    return present({ name: name?.toWellFormed().slice(0, 256), phones: phones.slice(0, 20) });
  });
}

function readReaction(message: Json): IncomingContent | undefined {
  const target = idText(message["msgId"]) ?? idText(message["reactionParentKey"]) ?? textAt(message, "message_id", 400);
  const emoji = textAt(message, "reactionText", 64) ?? textAt(message, "emoji", 64) ?? "";
  return target === undefined ? undefined : { type: "reaction", emoji, message_id: target };
}

function idText(value: unknown): string | undefined {
  return typeof value === "string" ? textAt({ value }, "value", 400) : textAt(objectsIn(value)[0], "_serialized", 400);
}

function readChoice(message: Json): IncomingContent | undefined {
  const list = objectAt(message, "listResponse");
  const row = objectAt(list, "singleSelectReply");
  const title = textAt(list, "title", MAX_TITLE_LENGTH) ?? bodyOf(message)?.slice(0, MAX_TITLE_LENGTH);
  const id =
    textAt(row, "selectedRowId", 400) ?? textAt(message, "selectedButtonId", 400) ?? textAt(message, "selectedId", 400);
  return title === undefined ? undefined : { type: "reply", id: id ?? title, title };
}
