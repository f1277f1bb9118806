import { ipVersion, isGroupAddress, isUnspecified } from "./address.ts";
import type { Connection, Description, MediaSection } from "./description.ts";
import { problem, readDescription, wholeNumber } from "./description.ts";
import { audioFormatsOf, digitFormatsOf, directionOf, formatNamesOf, ptimeOf } from "./formats.ts";
import type { AudioFormat, CodecName, DigitFormat, Direction, Result, SdpProblem, SipMedia } from "./session.ts";
import type { SipLocal } from "./sip-offer.ts";
import { audioSection, offeredDigits, offeredFormats, writeSipDescription } from "./sip-offer.ts";

/**
 * Reads the PBX's answer to our offer. `direction` is the PBX's own word: `sendonly` or `inactive` mean that it holds us.
 *
 * An address of `0.0.0.0` is the hold of RFC 2543: the direction then loses its receiving half, and nothing may be sent.
 */
export function readSipAnswer(sdp: string, offered: SipLocal): Result<SipMedia, SdpProblem> {
  const description = readDescription(sdp);
  if (!description.ok) return description;
  const media = description.value.media.find(({ kind }) => kind === "audio");
  if (media === undefined) return problem("not_audio", "the answer has no m=audio line");
  return readSipMedia(description.value, media, offered.codecs);
}

/** What a re-INVITE came to. */
export interface SipReanswer {
  readonly sdp: string;
  /** The PBX's side from now on. */
  readonly media: SipMedia;
  /** Our side from now on, for the next description of this dialog. */
  readonly local: SipLocal;
}

/**
 * Answers an offer inside a dialog (RFC 3264 §6, §8): hold and back, another codec, another address. The first audio
 * stream is taken, every other is refused with port 0. Of the formats one is chosen, the first of the PBX's that the trunk
 * allows, so that nobody changes codecs later without saying so; payload types are those of the offer.
 *
 * While the PBX holds by `c=0.0.0.0`, its former address stays in the result, because that is where it will be back.
 */
export function answerSipReoffer(sdp: string, current: SipMedia, local: SipLocal): Result<SipReanswer, SdpProblem> {
  const description = readDescription(sdp);
  if (!description.ok) return description;
  const sections = description.value.media;
  const audio = sections.find(({ kind, port }) => kind === "audio" && port !== 0);
  if (audio === undefined) {
    const refused = sections.some(({ kind }) => kind === "audio");
    return problem(refused ? "refused_stream" : "not_audio", "the offer has no m=audio line with a port");
  }
  const read = readSipMedia(description.value, audio, local.codecs);
  if (!read.ok) return read;
  const held = isUnspecified(read.value.address);
  const media = held
    ? { ...read.value, address: current.address, port: current.port, rtcpPort: current.rtcpPort }
    : read.value;

  const next = { ...local, version: local.version + 1, direction: reversed(media.direction) };
  const formats = {
    audio: [ourVoiceOf(media.audio)],
    digits: media.digits === undefined ? [] : [media.digits],
  };
  const lines = sections.map((section) =>
    section === audio ? audioSection(next, formats, audio.protocol) : refusal(section),
  );
  return { ok: true, value: { sdp: writeSipDescription(next, lines), media, local: next } };
}

/** Our `fmtp` says what we wish to receive, so it is ours in an answer too; the payload type is the offer's. */
function ourVoiceOf({ codec, payloadType }: AudioFormat): AudioFormat {
  return { ...offeredFormats[codec], payloadType };
}

/** RFC 3264 §6: a refused stream keeps its place, with port 0. */
function refusal({ kind, protocol, formats }: MediaSection): readonly string[] {
  return [`m=${kind} 0 ${protocol} ${formats[0] ?? "0"}`];
}

const mirror: Readonly<Record<Direction, Direction>> = {
  sendrecv: "sendrecv",
  sendonly: "recvonly",
  recvonly: "sendonly",
  inactive: "inactive",
};

/** The direction of an answer that wants all that the offer allows (RFC 3264 §6.1). */
function reversed(direction: Direction): Direction {
  return mirror[direction];
}

/** One audio stream of the PBX, of which the first format that the trunk allows is taken. */
function readSipMedia(
  description: Description,
  media: MediaSection,
  codecs: readonly CodecName[],
): Result<SipMedia, SdpProblem> {
  if (media.port === 0) return problem("refused_stream", `line ${media.line}: m=audio has port 0`);
  if (!/^RTP\/AVPF?$/.test(media.protocol))
    return problem("bad_transport", `line ${media.line}: ${media.protocol.slice(0, 40)} is not RTP/AVP`);
  const address = readAddress(media.connection ?? description.connection, media.line);
  if (!address.ok) return address;
  const audio = audioFormatsOf(media).find(({ codec }) => codecs.includes(codec));
  if (audio === undefined) {
    const text = `line ${media.line}: ${formatNamesOf(media)} against ${codecs.join(", ")} of the trunk`;
    return problem("no_common_codec", text);
  }
  const digits = digitsFor(audio, media, codecs);
  const direction = directionOf(description, media);
  return {
    ok: true,
    value: {
      address: address.value,
      port: media.port,
      rtcpPort: rtcpPortOf(media),
      audio,
      ...(digits === undefined ? {} : { digits }),
      direction: isUnspecified(address.value) ? withoutReceiving(direction) : direction,
      ptimeMs: ptimeOf(description, media),
    },
  };
}

/** RFC 4733 §2.5.1.1 asks for the clock of the audio; many a PBX has 8000 Hz beside Opus nevertheless. */
function digitsFor(audio: AudioFormat, media: MediaSection, codecs: readonly CodecName[]): DigitFormat | undefined {
  const clocks = offeredDigits(codecs).map(({ clockRate }) => clockRate);
  const usable = digitFormatsOf(media).filter(({ clockRate }) => clocks.includes(clockRate));
  return usable.find(({ clockRate }) => clockRate === audio.clockRate) ?? usable[0];
}

function readAddress(connection: Connection | undefined, mediaLine: number): Result<string, SdpProblem> {
  if (connection === undefined) return problem("unparsable", `line ${mediaLine}: no c= line for this stream`);
  const { addressType, address, line } = connection;
  const version = ipVersion(address);
  if (version === 0 || addressType.toUpperCase() !== `IP${version}`)
    return problem("bad_transport", `line ${line}: c= holds no IPv4 or IPv6 address`);
  if (isGroupAddress(address)) return problem("bad_transport", `line ${line}: c= names a group, not a host`);
  return { ok: true, value: address };
}

/** RFC 3605, else the next port (RFC 3550 §11). */
function rtcpPortOf(media: MediaSection): number {
  const own = media.attributes.find(({ name }) => name === "rtcp")?.value.split(/\s/, 1)[0];
  return wholeNumber(own, 1, 65_535) ?? Math.min(media.port + 1, 65_535);
}

function withoutReceiving(direction: Direction): Direction {
  return direction === "sendrecv" || direction === "sendonly" ? "sendonly" : "inactive";
}
