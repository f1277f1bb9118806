import { maskName, maskNumber, maskWacid, type Privacy, redactText, SECRET } from "./privacy.ts";

/**
 * Redaction of log fields: what a value is depends on its name as well as on how it looks. The result is plain data, so
 * that no getter, class or `toJSON` can bring anything back.
 */

/** Deeper things are not for a log line. */
const MAX_DEPTH = 8;
/** Entries of one object or list; the rest is counted. */
const MAX_ENTRIES = 200;
/** Characters of one text: an SDP or a webhook fits, a flood does not. */
const MAX_TEXT = 16_384;
/** A word that is longer than this is no token, key or number. */
const LONGEST_WORD = 1_024;
/** Names whose kind is remembered; names are few unless somebody puts data into them. */
const MAX_REMEMBERED_NAMES = 2_000;

type Kind = "plain" | "secret" | "number" | "id" | "name" | "digits" | "channel";

/** Compared without case, `_` and `-`, at the end of the name: `meta_access_token` is an access token. */
const kinds: readonly (readonly [RegExp, Kind])[] = [
  [
    /(?:secrets?|tokens?|passwo?r?d|pwd|passphrase|apikeys?|authorization|cookie|privatekey|masterkey|keyingmaterial|nonce|credentials?|digestresponse|appsecretproof)$/,
    "secret",
  ],
  [/^(?:channelid|phonenumberid|wabaid|ssrc|timestamp)$/, "channel"],
  [/(?:number|phone|msisdn|waid|recipientid)$/, "number"],
  [/(?:wacid|wamid|whatsappcallid|userid|bsuid)$/, "id"],
  [/(?:profilename|username|callername|displayname)$/, "name"],
  [/^(?:digits?|dtmf|digitstyped|collecteddigits)$/, "digits"],
];

const remembered = new Map<string, Kind>();

function kindOf(name: string): Kind {
  const known = remembered.get(name);
  if (known !== undefined) return known;
  const plain = name.replace(/[^A-Za-z0-9]/g, "").toLowerCase();
  const kind = kinds.find(([pattern]) => pattern.test(plain))?.[1] ?? "plain";
  if (remembered.size < MAX_REMEMBERED_NAMES) remembered.set(name, kind);
  return kind;
}

/** The fields of a log line as they may be written. Never throws, whatever it is given. */
export function redactFields(fields: object, privacy: Privacy): Record<string, unknown> {
  try {
    const redacted =
      fields instanceof Error ? { err: redactError(fields, privacy, 0) } : redactEntries(fields, privacy, 0);
    return redacted as Record<string, unknown>;
  } catch (error) {
    // A getter or toJSON of a foreign object threw: the line is written, without it.
    return { unloggable: error instanceof Error ? error.name : typeof error };
  }
}

function redactValue(name: string, value: unknown, privacy: Privacy, depth: number): unknown {
  if (value === undefined || value === null || typeof value === "boolean") return value;
  const kind = kindOf(name);
  if (kind === "secret") return value === "" ? "" : SECRET;
  if (kind === "digits" && privacy.digits === "hidden") return "[digits]";
  if (typeof value === "string") return redactString(kind, value, privacy);
  if (typeof value === "number")
    return kind === "number" && value >= 1e8 ? redactString(kind, `${value}`, privacy) : value;
  if (typeof value === "bigint") return redactString(kind, `${value}`, privacy);
  if (typeof value === "object") return redactObject(name, value, privacy, depth);
  return undefined;
}

function redactString(kind: Kind, value: string, privacy: Privacy): string {
  const text = cut(value);
  switch (kind) {
    case "number":
      return /^[\d\s+().*-]*$/.test(text) ? maskNumber(text, privacy.phoneNumbers) : redactText(text, privacy);
    case "id":
      return maskWacid(text, privacy.phoneNumbers);
    case "name":
      return maskName(text, privacy.phoneNumbers);
    case "channel":
      return /^\d+$/.test(text) ? text : redactText(text, privacy);
    default:
      return redactText(text, privacy);
  }
}

/** Cut before it is redacted, at the end of a word: half a secret would not be recognised. */
function cut(text: string): string {
  if (text.length <= MAX_TEXT) return text;
  const end = text.slice(MAX_TEXT - LONGEST_WORD, MAX_TEXT).search(/[^\s"]*$/);
  const kept = text.slice(0, MAX_TEXT - LONGEST_WORD + end);
  return `${kept}… (${text.length - kept.length} more)`;
}

function redactObject(name: string, value: object, privacy: Privacy, depth: number): unknown {
  if (depth >= MAX_DEPTH) return "[deep]";
  if (value instanceof Error) return redactError(value, privacy, depth + 1);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "invalid date" : value.toISOString();
  // Packets, keys and bodies: their bytes would pass every rule.
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (value instanceof ArrayBuffer) return `[${value.byteLength} bytes]`;
  if (Array.isArray(value) || value instanceof Set) return redactList(name, [...value], privacy, depth);
  if (value instanceof Map) return redactEntries(Object.fromEntries(value), privacy, depth + 1);
  if ("toJSON" in value && typeof value.toJSON === "function")
    return redactValue(name, value.toJSON(), privacy, depth + 1);
  return redactEntries(value, privacy, depth + 1);
}

function redactList(name: string, list: readonly unknown[], privacy: Privacy, depth: number): unknown[] {
  const kept = list.slice(0, MAX_ENTRIES).map((entry) => redactValue(name, entry, privacy, depth + 1) ?? null);
  return list.length > MAX_ENTRIES ? [...kept, `… (${list.length - MAX_ENTRIES} more)`] : kept;
}

function redactEntries(value: object, privacy: Privacy, depth: number): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  let count = 0;
  for (const [name, inner] of Object.entries(value)) {
    count += 1;
    if (count > MAX_ENTRIES) break;
    const redacted = redactValue(name, inner, privacy, depth);
    if (redacted !== undefined) result[redactText(name, privacy)] = redacted;
  }
  if (count > MAX_ENTRIES) result["…"] = "more";
  return result;
}

/** Type, message, stack, and what else an error holds, down to its first cause. */
function redactError(error: Error, privacy: Privacy, depth: number): Record<string, unknown> {
  const { cause, ...own } = error;
  return {
    type: error.name,
    message: redactText(cut(error.message), privacy),
    stack: redactText(cut(error.stack ?? ""), privacy),
    ...redactEntries({ ...own, message: undefined, stack: undefined, name: undefined }, privacy, depth),
    ...(error instanceof AggregateError ? { errors: redactValue("errors", error.errors, privacy, depth) } : {}),
    ...(error.cause === undefined ? {} : { cause: redactValue("cause", error.cause, privacy, depth) }),
  };
}
