import type { Description, MediaSection } from "./description.ts";
import { attributeOf, wholeNumber } from "./description.ts";
import type { AudioFormat, CodecName, DigitFormat, Direction } from "./session.ts";

/** The formats of an `m=` line: what its payload types mean (RFC 8866 §6.6, §6.15; RFC 3551 §6). */

interface Format {
  readonly payloadType: number;
  /** Encoding name in lower case: names are compared without case (RFC 4855 §3). */
  readonly name: string;
  readonly clockRate: number;
  readonly channels: number;
  readonly fmtp?: string;
}

/** An `fmtp` of Opus with every known parameter has 200 characters. */
const MAX_FMTP_LENGTH = 1_000;
/** RFC 3551 §4.2 and Meta's offers agree. */
const DEFAULT_PTIME_MS = 20;
/** Opus knows no longer packets (RFC 7587 §7); G.711 does not use them. */
const MAX_PTIME_MS = 120;

/** RFC 3551 table 4, as far as ponte speaks it: these payload types need no `rtpmap`. */
const staticFormats: ReadonlyMap<number, Format> = new Map([
  [0, { payloadType: 0, name: "pcmu", clockRate: 8_000, channels: 1 }],
  [8, { payloadType: 8, name: "pcma", clockRate: 8_000, channels: 1 }],
]);

const codecs: readonly { readonly codec: CodecName; readonly clockRate: number; readonly channels: number }[] = [
  { codec: "opus", clockRate: 48_000, channels: 2 },
  { codec: "PCMU", clockRate: 8_000, channels: 1 },
  { codec: "PCMA", clockRate: 8_000, channels: 1 },
];

const RTPMAP = /^(\d{1,3})\s+([\w.+-]{1,64})\/(\d{1,6})(?:\/(\d{1,2}))?$/;
const FMTP = /^(\d{1,3})\s+(\S.*)$/;

/** In the order of the `m=` line, which is the order of preference (RFC 3264 §5.1). What has no meaning is left out. */
function formatsOf(media: MediaSection): readonly Format[] {
  const maps = new Map(staticFormats);
  for (const { name, value } of media.attributes) {
    const parts = name === "rtpmap" ? RTPMAP.exec(value) : null;
    const payloadType = wholeNumber(parts?.[1], 0, 127);
    if (parts === null || payloadType === undefined) continue;
    const channels = wholeNumber(parts[4] ?? "1", 1, 255) ?? 1;
    const encoding = (parts[2] ?? "").toLowerCase();
    maps.set(payloadType, { payloadType, name: encoding, clockRate: Number(parts[3]), channels });
  }
  const parameters = new Map<number, string>();
  for (const { name, value } of media.attributes) {
    const parts = name === "fmtp" && value.length <= MAX_FMTP_LENGTH ? FMTP.exec(value) : null;
    if (parts?.[2] !== undefined) parameters.set(Number(parts[1]), parts[2]);
  }
  return media.formats.flatMap((text) => {
    const format = maps.get(wholeNumber(text, 0, 127) ?? -1);
    if (format === undefined) return [];
    const fmtp = parameters.get(format.payloadType);
    return [fmtp === undefined ? format : { ...format, fmtp }];
  });
}

/** The formats that ponte can speak, in the order of the `m=` line. */
export function audioFormatsOf(media: MediaSection): readonly AudioFormat[] {
  return formatsOf(media).flatMap(({ payloadType, name, clockRate, channels, fmtp }) => {
    const known = codecs.find(
      (row) => row.codec.toLowerCase() === name && row.clockRate === clockRate && row.channels === channels,
    );
    if (known === undefined) return [];
    return [{ codec: known.codec, payloadType, clockRate, ...(fmtp === undefined ? {} : { fmtp }) }];
  });
}

/** Every telephone-event, one for each clock (RFC 4733 §2.5.1.1). */
export function digitFormatsOf(media: MediaSection): readonly DigitFormat[] {
  return formatsOf(media)
    .filter((format) => format.name === "telephone-event" && format.clockRate > 0)
    .map(({ payloadType, clockRate }) => ({ payloadType, clockRate }));
}

/** The names of an `m=` line, for people. */
export function formatNamesOf(media: MediaSection): string {
  const names = formatsOf(media).map(({ name, clockRate }) => `${name}/${clockRate}`);
  return names.length > 0 ? names.join(", ") : `payload types ${media.formats.slice(0, 8).join(" ").slice(0, 60)}`;
}

const directions: readonly Direction[] = ["sendrecv", "sendonly", "recvonly", "inactive"];

/** RFC 8866 §6.7: without any of the four, `sendrecv`. */
export function directionOf(description: Description, media: MediaSection): Direction {
  for (const attributes of [media.attributes, description.attributes]) {
    const found = attributes.find(({ name }) => directions.some((direction) => direction === name));
    if (found !== undefined) return directions.find((direction) => direction === found.name) ?? "sendrecv";
  }
  return "sendrecv";
}

/** `a=ptime`, milliseconds; the usual 20 where it says nothing usable. */
export function ptimeOf(description: Description, media: MediaSection): number {
  return wholeNumber(attributeOf(description, media, "ptime")?.value, 1, MAX_PTIME_MS) ?? DEFAULT_PTIME_MS;
}
