import type { Headers } from "./message.ts";

/** The grammar of the header values that ponte writes and reads (RFC 3261 §25.1). */

/** The existing drachtio-server loses frames above 12 kB and stops there; a few long values must not add up to that. */
export const MAX_HEADER_VALUE_BYTES = 1_024;

/** Display names are shown on telephones; no telephone shows more. */
const MAX_DISPLAY_NAME_CHARACTERS = 64;

const headerName = /^[A-Za-z0-9_-]{1,64}$/;

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
const controls = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g;

/** A value that can neither end its line nor split a frame; cut at a whole character. */
export function headerValue(text: string): string {
  const clean = text.toWellFormed().replace(controls, " ").trim();
  if (Buffer.byteLength(clean) <= MAX_HEADER_VALUE_BYTES) return clean;
  let bytes = 0;
  let kept = "";
  for (const character of clean) {
    bytes += Buffer.byteLength(character);
    if (bytes > MAX_HEADER_VALUE_BYTES) break;
    kept += character;
  }
  return kept.trimEnd();
}

/** Those headers that have a valid name and something to say; the names of the others. */
export function cleanHeaders(headers: Headers): { readonly clean: Record<string, string>; readonly bad: string[] } {
  const clean: Record<string, string> = {};
  const bad: string[] = [];
  for (const [name, text] of Object.entries(headers)) {
    if (!headerName.test(name)) bad.push(name.replace(controls, "?").slice(0, 64));
    else {
      const value = headerValue(text);
      if (value !== "") clean[name] = value;
    }
  }
  return { clean, bad };
}

/**
 * A display name as quoted-string, UTF-8 as it is (RFC 3261 §25.1). Empty when nothing is left of it.
 *
 * The engine replaces the text `@localhost` in From, To, Contact and P-Asserted-Identity by its address, also inside a
 * display name; a space keeps a caller from using that.
 */
export function displayName(name: string): string {
  const clean = [...name.toWellFormed().replace(controls, " ").trim()].slice(0, MAX_DISPLAY_NAME_CHARACTERS).join("");
  if (clean === "") return "";
  return `"${clean.replace(/@(?=localhost)/gi, "@ ").replace(/[\\"]/g, (character) => `\\${character}`)}"`;
}

/** The user part of a SIP URI, with everything outside of the grammar escaped. */
export function uriUser(user: string): string {
  return encodeURIComponent(user.toWellFormed()).replace(/%(?:26|3D|2B|24|2C)/g, decodeURIComponent);
}

/** `"Name" <uri>`, or `<uri>`. */
export function nameAddr(uri: string, name = ""): string {
  const shown = displayName(name);
  return shown === "" ? `<${uri}>` : `${shown} <${uri}>`;
}

/** RFC 3326. */
export interface Reason {
  readonly protocol: string;
  readonly cause?: number;
  readonly text?: string;
}

/** Every value of a Reason header, in order. What is not of its grammar is left out. */
export function parseReasons(value: string | undefined): Reason[] {
  if (value === undefined) return [];
  return splitOutsideQuotes(value, ",").flatMap((part) => {
    const [protocol = "", ...parameters] = splitOutsideQuotes(part, ";").map((piece) => piece.trim());
    if (!/^[\w.!%*+`'~-]+$/.test(protocol)) return [];
    const cause = parameter(parameters, "cause");
    const text = parameter(parameters, "text");
    return [
      {
        protocol,
        ...(cause !== undefined && /^\d{1,3}$/.test(cause) ? { cause: Number(cause) } : {}),
        ...(text === undefined ? {} : { text }),
      },
    ];
  });
}

/** The Q.850 cause and the words of a Reason header. */
export function whyEnded(value: string | undefined): { readonly q850?: number; readonly reason?: string } {
  const reasons = parseReasons(value);
  const q850 = reasons.find((reason) => reason.protocol.toUpperCase() === "Q.850")?.cause;
  const text = reasons.find((reason) => reason.text !== undefined)?.text;
  return {
    ...(q850 === undefined || q850 < 1 || q850 > 127 ? {} : { q850 }),
    ...(text === undefined ? {} : { reason: text.slice(0, 200) }),
  };
}

/** A Reason header for our BYE or CANCEL. */
export function q850Reason(cause: number, text: string): string {
  return `Q.850;cause=${cause};text=${displayName(text) || '""'}`;
}

function parameter(parameters: readonly string[], name: string): string | undefined {
  for (const each of parameters) {
    const at = each.indexOf("=");
    if (at < 0 || each.slice(0, at).trim().toLowerCase() !== name) continue;
    const value = each.slice(at + 1).trim();
    return value.startsWith('"') ? value.slice(1, value.endsWith('"') ? -1 : undefined).replace(/\\(.)/g, "$1") : value;
  }
  return undefined;
}

function splitOutsideQuotes(text: string, separator: string): string[] {
  const parts: string[] = [];
  let quoted = false;
  let from = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (quoted && character === "\\") at += 1;
    else if (character === '"') quoted = !quoted;
    else if (!quoted && character === separator) {
      parts.push(text.slice(from, at));
      from = at + 1;
    }
  }
  parts.push(text.slice(from));
  return parts;
}
