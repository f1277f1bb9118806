/**
 * What must not stand in a log: secrets never, phone numbers and what identifies a person only as configured. Everything here
 * is a pure function from text to text, and applying it twice changes nothing.
 */

/** `masked`: country and last two digits. `full`: as they are. `hidden`: only that there was one. */
export type NumberPrivacy = "masked" | "full" | "hidden";

export interface Privacy {
  readonly phoneNumbers: NumberPrivacy;
  /** Digits that a caller typed may be a PIN or a card number. */
  readonly digits: "shown" | "hidden";
}

export const SECRET = "[secret]";

/** Country codes of one and two digits (ITU-T E.164, list of assigned codes); all others have three. */
const SHORT_COUNTRY = /^(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58])/;
/** Fewer digits than this are an extension or a short code, not a subscriber's number (ITU-T E.164 §6). */
const SHORTEST_NUMBER = 7;

/** `+5511987654321` becomes `+55***21`. */
export function maskNumber(number: string, how: NumberPrivacy): string {
  if (how === "full" || number === "" || number.includes("***")) return number;
  if (how === "hidden") return "[number]";
  const digits = number.replace(/\D/g, "");
  if (digits.length < SHORTEST_NUMBER) return number;
  const country = SHORT_COUNTRY.exec(digits)?.[0] ?? digits.slice(0, 3);
  return `${number.startsWith("+") ? "+" : ""}${country}***${digits.slice(-2)}`;
}

/**
 * Meta's ids of calls and messages hold the numbers of both sides in base64. The hash keeps lines of one call together; it
 * cannot be turned back, because the id has 128 bits of chance besides.
 */
export function maskWacid(id: string, how: NumberPrivacy): string {
  if (how === "full" || id === "" || /#h[0-9a-f]{10}$/.test(id)) return id;
  const kind = /^(wacid|wamid)\./i.exec(id)?.[1]?.toLowerCase() ?? "id";
  return `${kind}#h${shortHash(plainId(id))}`;
}

/** The same id whether it came in JSON (`\/`), in a URL (`%3D`) or in SIP, where its padding is cut. */
function plainId(id: string): string {
  return unescaped(id.replace(/\\+\//g, "/")).replace(/=+$/, "");
}

/** `Maria Souza` becomes `M***`. */
export function maskName(name: string, how: NumberPrivacy): string {
  if (how === "full" || name === "" || name.endsWith("***")) return name;
  return how === "hidden" ? "[name]" : `${String.fromCodePoint(name.codePointAt(0) ?? 0x2a)}***`;
}

/** 40 bits of two multiplicative hashes: enough to tell the calls of a log apart, and nothing that must withstand anybody. */
function shortHash(text: string): string {
  let left = 0xdeadbeef;
  let right = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    left = Math.imul(left ^ unit, 0x9e3779b1);
    right = Math.imul(right ^ unit, 0x5f356495);
  }
  left = Math.imul(left ^ (left >>> 16), 0x85ebca6b) ^ Math.imul(right ^ (right >>> 13), 0xc2b2ae35);
  right = Math.imul(right ^ (right >>> 16), 0x85ebca6b) ^ Math.imul(left ^ (left >>> 13), 0xc2b2ae35);
  return (right >>> 24).toString(16).padStart(2, "0") + (left >>> 0).toString(16).padStart(8, "0");
}

/**
 * Words whose value is a secret wherever they stand before `=` or `:`, in URLs, JSON, YAML, headers and SDP. `pwd` is also
 * that of `a=ice-pwd:` (RFC 8839 §5.4): whoever knows it can speak for the peer in STUN.
 */
const SECRET_WORDS =
  "access[_-]?token|refresh[_-]?token|verify[_-]?token|(?:app|client)[_-]?secret(?:[_-]?proof)?|appsecret_proof" +
  "|api[_-]?key|authorization|password|passwd|passphrase|secret|token|pwd|nonce|rspauth|cookie|private[_-]?key|master[_-]?key";

/** `"` or `\"`: bodies are logged as text inside JSON. */
const QUOTE = String.raw`\\{0,4}["']`;

interface Rule {
  readonly find: RegExp;
  readonly replace: (match: string, ...groups: string[]) => string;
}

const secretRules: readonly Rule[] = [
  {
    find: /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
    replace: () => SECRET,
  },
  // Meta's tokens, JSON Web Tokens and ponte's own keys are known by their first letters.
  { find: /(?<![A-Za-z0-9])EAA[A-Za-z0-9]{8,}/g, replace: () => SECRET },
  { find: /(?<![A-Za-z0-9])eyJ[\w-]{6,}(?:\.[\w-]*){0,2}/g, replace: () => SECRET },
  { find: /(?<![A-Za-z0-9])ponte_[\w-]{20,}/g, replace: () => SECRET },
  {
    find: /\b(Bearer|Basic|OAuth)( +)(?!realm\b)(?:[^\s"'\\,;]|\\+\/){4,}/gi,
    replace: (_all, scheme, gap) => `${scheme}${gap}${SECRET}`,
  },
  // The headers whose whole value is the secret; a Digest shows its realm and hides its response below.
  {
    find: /(authorization|cookie)(\s*[:=]\s*)(?!\s|Digest\b|\[secret\]|Bearer\b|Basic\b|OAuth\b)[^\r\n"'\\]+/gi,
    replace: (_all, name, equals) => `${name}${equals}${SECRET}`,
  },
  // RFC 4568 §9.2: SRTP master key and salt.
  { find: /(inline:)(?:[^\s\\"']|\\+\/)+/gi, replace: (_all, name) => `${name}${SECRET}` },
  // RFC 3986 §3.2.1: user:password@ before a host.
  {
    find: /(\b[a-z][a-z0-9+.-]{0,20}:\/\/[^\s:@/"']{0,100}:)[^\s"'/]+@/gi,
    replace: (_all, head) => `${head}${SECRET}@`,
  },
  // RFC 7616 §3.4: with the digest response a password can be guessed offline.
  { find: /\b(response\s*=\s*\\{0,4}"?)[0-9a-f]{16,}/gi, replace: (_all, head) => `${head}${SECRET}` },
  {
    find: new RegExp(
      `((?:${SECRET_WORDS})(?:${QUOTE})?\\s*[:=]\\s*)(?:(${QUOTE})((?:(?!\\2)[^\\\\]|\\\\(?!["'])|(?!\\2)\\\\.)*)|(?!\\[secret\\]|(?:Bearer|Basic|Digest|OAuth)\\b)(?:[^\\s"'\\\\&,;}]|\\\\+/)+)`,
      "gi",
    ),
    replace: (_all, head, quote) => `${head}${quote ?? ""}${SECRET}`,
  },
];

/** One rule with alternatives, because what is to be kept has to be recognised before what is to be masked. */
const NUMBERS = new RegExp(
  [
    // Kept: UUIDs, long hexadecimal words, Meta's channel ids, and the numbers of SDP that belong to nobody.
    /(?<keep>(?<![0-9a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f])|(?<![0-9a-z])(?=\d*[a-f])[0-9a-f]{16,}(?![0-9a-z])|phone_number_id\W{1,8}\d+|a=ssrc:\d+|a=candidate:\S{1,40} \d+ (?:udp|tcp) \d+|(?<![0-9])0\.\d+)/,
    /(?<![0-9])(?<plus>\+\d(?:[ ().-]{0,2}\d){6,16})(?![0-9])/,
    /(?<display>display_phone_number\W{1,8}[\d +().-]{7,24})/,
    /(?<![0-9])(?<bare>\d{9,15})(?![0-9])/,
  ]
    .map((part) => part.source)
    .join("|"),
  "gi",
);

/** Unix seconds and milliseconds of our time have 10 and 13 digits and begin with 15 to 19; no phone number looks so. */
const UNIX_TIME = /^1[5-9](?:\d{8}|\d{11})$/;

/** Nothing of what the rules look for is in a text without one of these: most log lines stop here. */
const SUSPECT = new RegExp(
  `\\d{5}|\\+\\d|wacid|wamid|phone|EAA|eyJ|ponte_|inline:|:\\/\\/|response|bearer|basic|oauth|PRIVATE|username|profile|signal|[A-Z]{2}\\.\\w|${SECRET_WORDS}`,
  "i",
);

/** RFC 3986 §2.1, for ASCII alone: what the rules look for is ASCII. */
function unescaped(text: string): string {
  return text.replace(/%[0-7][0-9a-f]/gi, (code) => String.fromCharCode(Number.parseInt(code.slice(1), 16)));
}

/** `"`, `:`, `=` and `@` as they stand in the query of a URL. */
const ESCAPED = /%(?:22|3a|3d|40)/i;

/** The same text without secrets, and with numbers, call ids and typed digits as `privacy` says. */
export function redactText(text: string, privacy: Privacy): string {
  if (text.length < 4 || !SUSPECT.test(text)) return text;
  if (!ESCAPED.test(text)) return redactPersons(redactSecrets(text), privacy);
  // Behind percent signs the rules would be blind. If there is something to hide, the text loses its escapes.
  const open = unescaped(text);
  const redacted = redactPersons(redactSecrets(open), privacy);
  return redacted === open ? text : redacted;
}

function redactSecrets(text: string): string {
  let result = text;
  for (const { find, replace } of secretRules) result = result.replace(find, replace);
  return result;
}

function redactPersons(text: string, { phoneNumbers: how, digits }: Privacy): string {
  // RFC 2976 bodies of application/dtmf-relay.
  const typed = digits === "shown" ? text : text.replace(/\b(Signal\s*=\s*)[0-9A-D*#]+/gi, "$1[digits]");
  if (how === "full") return typed;
  return typed
    .replace(/(?:wacid|wamid)\.(?:[A-Za-z0-9+/_=-]|%[0-9A-Fa-f]{2}|\\+\/)+/gi, (id) => maskWacid(id, how))
    .replace(/(?<![A-Za-z0-9])[A-Z]{2}\.(?:ENT\.)?[0-9][A-Za-z0-9]{9,127}/g, (id) => maskWacid(id, how))
    .replace(
      /("username\\{0,4}"\s*:\s*\\{0,4}"|"profile\\{0,4}"\s*:\s*\{\s*\\{0,4}"name\\{0,4}"\s*:\s*\\{0,4}")([^"\\]+)/g,
      (_all, head: string, name: string) => head + maskName(name, how),
    )
    .replace(NUMBERS, (match: string, ...rest: unknown[]) => maskMatch(match, rest.at(-1) as NumberMatch, how));
}

type NumberMatch = Readonly<Partial<Record<"keep" | "plus" | "display" | "bare", string>>>;

function maskMatch(match: string, found: NumberMatch, how: NumberPrivacy): string {
  if (found.keep !== undefined) return match;
  if (found.display !== undefined) return match.replace(/[+\d][\d ().-]{5,}\d/, (number) => maskNumber(number, how));
  return UNIX_TIME.test(match) ? match : maskNumber(match, how);
}
