import { ipVersion } from "./address.ts";
import type { AudioFormat, CodecName, DigitFormat, Direction } from "./session.ts";

/** Our end of the RTP session with the PBX, as our latest description says it. */
export interface SipLocal {
  /** IPv4 or IPv6 literal where the PBX shall send its RTP; RTCP goes to the next port. */
  readonly address: string;
  readonly port: number;
  /** In the trunk's order of preference. */
  readonly codecs: readonly CodecName[];
  /** `sess-id` of the `o=` line, digits; the same for the whole dialog (RFC 8866 §5.2). */
  readonly sessionId: string;
  /** `sess-version`: one more with every new description (RFC 3264 §8). */
  readonly version: number;
  readonly direction: Direction;
}

/**
 * What a PBX that speaks Opus is asked to send. Its packets go to WhatsApp as they are, so the limits are those that Meta
 * states for its side: 20 ms, 16 kHz of audio band, 20 kbit/s, mono.
 */
const OPUS_FMTP =
  "maxplaybackrate=16000;sprop-maxcapturerate=16000;maxaveragebitrate=20000;minptime=20;stereo=0;useinbandfec=1";

/** The payload types of our offers; the dynamic ones as Asterisk and FreeSWITCH number them by default. */
export const offeredFormats: Readonly<Record<CodecName, AudioFormat>> = {
  opus: { codec: "opus", payloadType: 107, clockRate: 48_000, fmtp: OPUS_FMTP },
  PCMU: { codec: "PCMU", payloadType: 0, clockRate: 8_000 },
  PCMA: { codec: "PCMA", payloadType: 8, clockRate: 8_000 },
};

/** One telephone-event for each clock, since an event has the clock of the audio beside it (RFC 4733 §2.5.1.1). */
export function offeredDigits(codecs: readonly CodecName[]): readonly DigitFormat[] {
  const narrow = { payloadType: 101, clockRate: 8_000 };
  return codecs.includes("opus") ? [narrow, { payloadType: 110, clockRate: 48_000 }] : [narrow];
}

/** What stands in an `m=audio` line of ours, in its order. */
export interface SipFormats {
  readonly audio: readonly AudioFormat[];
  readonly digits: readonly DigitFormat[];
}

/** An offer for a PBX, at the INVITE or at a re-INVITE that asks for one. */
export function writeSipOffer(local: SipLocal): string {
  const codecs = [...new Set(local.codecs)];
  const formats = { audio: codecs.map((codec) => offeredFormats[codec]), digits: offeredDigits(codecs) };
  return writeSipDescription(local, [audioSection(local, formats)]);
}

/** A whole description around its `m=` sections. */
export function writeSipDescription(local: SipLocal, sections: readonly (readonly string[])[]): string {
  const family = ipVersion(local.address) === 6 ? "IP6" : "IP4";
  const lines = [
    "v=0",
    `o=ponte ${local.sessionId} ${local.version} IN ${family} ${local.address}`,
    "s=ponte",
    `c=IN ${family} ${local.address}`,
    "t=0 0",
    ...sections.flat(),
  ];
  return lines.map((line) => `${line}\r\n`).join("");
}

/** The lines of our one stream. `protocol` is repeated from an offer that we answer. */
export function audioSection(local: SipLocal, formats: SipFormats, protocol = "RTP/AVP"): readonly string[] {
  const payloadTypes = [...formats.audio, ...formats.digits].map(({ payloadType }) => payloadType).join(" ");
  return [
    `m=audio ${local.port} ${protocol} ${payloadTypes}`,
    `a=rtcp:${local.port + 1}`,
    ...formats.audio.flatMap(({ payloadType, codec, clockRate, fmtp }) => [
      `a=rtpmap:${payloadType} ${codec}/${clockRate}${codec === "opus" ? "/2" : ""}`,
      ...(fmtp === undefined ? [] : [`a=fmtp:${payloadType} ${fmtp}`]),
    ]),
    ...formats.digits.flatMap(({ payloadType, clockRate }) => [
      `a=rtpmap:${payloadType} telephone-event/${clockRate}`,
      `a=fmtp:${payloadType} 0-15`,
    ]),
    "a=ptime:20",
    "a=maxptime:20",
    `a=${local.direction}`,
  ];
}
