import type { Json } from "#core/json-read.ts";
import { numberAt, objectAt, objectsIn, present, proseAt, textAt } from "#core/json-read.ts";
import type { IncomingContent, MediaContent } from "#core/message/content.ts";

/** Meta allows 4096 characters in a text and 1024 in a caption. */
const MAX_TEXT_LENGTH = 4_096;
const MAX_TITLE_LENGTH = 1_024;
const MAX_ID_LENGTH = 400;
const MAX_URL_LENGTH = 2_048;
/** A shared card has a handful; a list of thousands is no chat. */
const MAX_CONTACTS = 50;
const MAX_PHONES = 20;

/** What one entry of `messages[]` says. What ponte has no kind for is `unsupported` with Meta's word; never throws. */
export function readContent(message: Json): IncomingContent {
  const type = wordAt(message, "type") ?? "unknown";
  const part = objectAt(message, type);
  const unsupported = { type: "unsupported", kind: type } as const;
  switch (type) {
    case "text": {
      const text = proseAt(part, "body", MAX_TEXT_LENGTH);
      return text === undefined ? unsupported : { type, text };
    }
    case "image":
    case "video":
    case "document":
    case "sticker":
    case "audio":
      return part === undefined ? unsupported : readMedia(type, part);
    case "location":
      return readLocation(part) ?? unsupported;
    case "reaction": {
      const target = textAt(part, "message_id", MAX_ID_LENGTH);
      // Without an emoji a reaction was taken back.
      return target === undefined ? unsupported : { type, emoji: textAt(part, "emoji", 64) ?? "", message_id: target };
    }
    case "button": {
      const title = textAt(part, "text", MAX_TITLE_LENGTH);
      return title === undefined
        ? unsupported
        : { type: "reply", id: textAt(part, "payload", MAX_TITLE_LENGTH) ?? title, title };
    }
    case "interactive":
      return readInteractive(part) ?? { type: "unsupported", kind: wordAt(part, "type") ?? type };
    case "contacts":
      return { type, contacts: objectsIn(message["contacts"]).slice(0, MAX_CONTACTS).map(readCard) };
    default:
      return unsupported;
  }
}

function wordAt(owner: Json | undefined, key: string): string | undefined {
  const word = textAt(owner, key, 64)?.toLowerCase();
  return word !== undefined && /^[a-z_]+$/.test(word) ? word : undefined;
}

function readMedia(type: "image" | "video" | "document" | "sticker" | "audio", part: Json): MediaContent {
  return present({
    type: type === "audio" && part["voice"] === true ? ("voice" as const) : type,
    mime_type: textAt(part, "mime_type", 128),
    caption: proseAt(part, "caption", MAX_TEXT_LENGTH),
    filename: textAt(part, "filename", 256),
    sha256: textAt(part, "sha256", 128),
    media_id: textAt(part, "id", MAX_ID_LENGTH),
    url: textAt(part, "url", MAX_URL_LENGTH),
    size_bytes: numberAt(part, "file_size"),
  });
}

function readLocation(part: Json | undefined): IncomingContent | undefined {
  const [latitude, longitude] = [part?.["latitude"], part?.["longitude"]];
  if (!isDegrees(latitude, 90) || !isDegrees(longitude, 180)) return undefined;
  return present({
    type: "location" as const,
    latitude,
    longitude,
    name: textAt(part, "name", MAX_TITLE_LENGTH),
    address: textAt(part, "address", MAX_TITLE_LENGTH),
  });
}

function isDegrees(value: unknown, most: number): value is number {
  return typeof value === "number" && Math.abs(value) <= most;
}

function readInteractive(part: Json | undefined): IncomingContent | undefined {
  const chosen = objectAt(part, "button_reply") ?? objectAt(part, "list_reply");
  const title = textAt(chosen, "title", MAX_TITLE_LENGTH);
  const id = textAt(chosen, "id", MAX_ID_LENGTH) ?? title;
  return title === undefined || id === undefined ? undefined : { type: "reply", id, title };
}

function readCard(card: Json): { readonly name?: string; readonly phones: readonly string[] } {
  const phones = objectsIn(card["phones"]).slice(0, MAX_PHONES);
  return present({
    name: textAt(objectAt(card, "name"), "formatted_name", 256),
    phones: phones.flatMap((phone) => textAt(phone, "phone", 64) ?? textAt(phone, "wa_id", 64) ?? []),
  });
}
