import type { Result, SdpProblem } from "./session.ts";

/**
 * SDP as lines (RFC 8866 §5), before anybody asks what it means. Unknown lines and attributes are kept and disturb nobody;
 * every attribute remembers its line, so that a problem can name it.
 *
 * sdp-transform is not used for reading: it knows no line numbers, skips lines that are no SDP, and turns an ICE password
 * made of digits into a number.
 */

export interface Attribute {
  readonly name: string;
  /** What follows the colon; empty for a flag such as `a=rtcp-mux`. */
  readonly value: string;
  /** Counted from 1. */
  readonly line: number;
}

/** `c=IN IP4 203.0.113.7`, or what stood there instead. */
export interface Connection {
  readonly addressType: string;
  readonly address: string;
  readonly line: number;
}

/** From one `m=` line to the next. */
export interface MediaSection {
  readonly kind: string;
  readonly port: number;
  readonly protocol: string;
  readonly formats: readonly string[];
  readonly connection?: Connection;
  readonly attributes: readonly Attribute[];
  readonly line: number;
}

export interface Description {
  readonly connection?: Connection;
  readonly attributes: readonly Attribute[];
  readonly media: readonly MediaSection[];
}

/** Meta's offers have 1.5 kB, a browser's with video up to 10 kB. */
export const MAX_SDP_LENGTH = 32_768;
/** A browser's longest offers have 200 lines. */
export const MAX_SDP_LINES = 1_000;
/** More streams than a conference system offers. */
export const MAX_MEDIA_SECTIONS = 16;
/** There are no more than 128 payload types. */
const MAX_FORMATS = 128;

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not pass here.
const CONTROL_CHARACTER = /[\u0000-\u0008\u000b-\u001f\u007f]/;

export function problem(code: SdpProblem["code"], text: string): { readonly ok: false; readonly problem: SdpProblem } {
  return { ok: false, problem: { code, text } };
}

/** A whole number in decimal digits between two bounds, or undefined. */
export function wholeNumber(text: string | undefined, least: number, most: number): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= least && value <= most ? value : undefined;
}

interface OpenSection {
  connection?: Connection;
  readonly attributes: Attribute[];
}

type OpenMedia = OpenSection & Omit<MediaSection, "connection" | "attributes">;

export function readDescription(sdp: string): Result<Description, SdpProblem> {
  if (sdp.length > MAX_SDP_LENGTH)
    return problem("unparsable", `the description has ${sdp.length} characters, at most ${MAX_SDP_LENGTH} are read`);
  const lines = sdp.split(/\r\n|\n|\r/);
  if (lines.length > MAX_SDP_LINES)
    return problem("unparsable", `the description has ${lines.length} lines, at most ${MAX_SDP_LINES} are read`);
  if (lines[0]?.trimEnd() !== "v=0") return problem("unparsable", "line 1: a description begins with v=0");

  const session: OpenSection = { attributes: [] };
  const media: OpenMedia[] = [];
  let open: OpenSection = session;
  for (const [index, text] of lines.entries()) {
    const number = index + 1;
    const line = text.trimEnd();
    if (line === "") continue;
    if (!/^[a-zA-Z]=/.test(line) || CONTROL_CHARACTER.test(line))
      return problem("unparsable", `line ${number}: not of the form <type>=<value>`);
    const value = line.slice(2);
    switch (line[0]) {
      case "m": {
        const section = readMediaLine(value, number);
        if (section === undefined) return problem("unparsable", `line ${number}: m= lacks media, port or formats`);
        if (media.push(section) > MAX_MEDIA_SECTIONS)
          return problem("unparsable", `line ${number}: more than ${MAX_MEDIA_SECTIONS} m= lines`);
        open = section;
        break;
      }
      case "c":
        // The first one counts; a second one is for layered multicast only (RFC 8866 §5.7).
        open.connection ??= readConnection(value, number);
        break;
      case "a":
        open.attributes.push(readAttribute(value, number));
        break;
    }
  }
  return { ok: true, value: { ...session, media } };
}

/** `audio 3484 UDP/TLS/RTP/SAVPF 111 126`, perhaps with `/2` after the port (RFC 8866 §5.14). */
function readMediaLine(value: string, line: number): OpenMedia | undefined {
  const [kind = "", ports = "", protocol = "", ...formats] = value.trim().split(/\s+/);
  const port = wholeNumber(ports.split("/", 1)[0], 0, 65_535);
  if (kind === "" || protocol === "" || port === undefined) return undefined;
  if (formats.length === 0 || formats.length > MAX_FORMATS) return undefined;
  return { kind, port, protocol, formats, line, attributes: [] };
}

function readConnection(value: string, line: number): Connection {
  const [, addressType = "", address = ""] = value.trim().split(/\s+/);
  return { addressType, address, line };
}

function readAttribute(value: string, line: number): Attribute {
  const colon = value.indexOf(":");
  if (colon < 0) return { name: value.trim(), value: "", line };
  return { name: value.slice(0, colon), value: value.slice(colon + 1).trim(), line };
}

/** The attribute of a stream: its own, or else that of the session. */
export function attributeOf(description: Description, media: MediaSection, name: string): Attribute | undefined {
  return (
    media.attributes.find((attribute) => attribute.name === name) ??
    description.attributes.find((attribute) => attribute.name === name)
  );
}

/** All attributes of that name: those of the stream, or else, when it has none, those of the session. */
export function attributesOf(description: Description, media: MediaSection, name: string): readonly Attribute[] {
  const own = media.attributes.filter((attribute) => attribute.name === name);
  return own.length > 0 ? own : description.attributes.filter((attribute) => attribute.name === name);
}
