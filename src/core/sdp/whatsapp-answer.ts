import { ipVersion } from "./address.ts";
import type { WhatsAppOffer } from "./session.ts";
import type { Candidate, LocalTransport } from "./transport.ts";

/** Names of our stream; constant for the whole call. */
export interface AnswerIdentity {
  /** The one SSRC of the call, as media says. */
  readonly ssrc: number;
  /** RFC 3550 §6.5.1; free of white space. */
  readonly cname: string;
  /** `sess-id` of the `o=` line, digits (RFC 8866 §5.2). */
  readonly sessionId: string;
}

/**
 * What we wish to receive, in Meta's own words (RFC 7587 §6.1): 16 kHz of audio band at 20 kbit/s are what WhatsApp sends
 * anyway, and in-band FEC is what carries a phone call through a lossy network.
 */
const OPUS_FMTP = "maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1";

/**
 * The answer for `pre_accept` and `accept`, which must carry it byte for byte alike. It follows the format of Meta's own
 * descriptions: one stream, one sha-256 fingerprint (more are refused with 138008), `setup:active`, no `ice-lite` (two lite
 * agents never connect), at most one IPv4 and one IPv6 candidate, and all of them now: there is no trickle.
 *
 * `rtcp-fb transport-cc` is offered and left out: we send no such feedback.
 */
export function writeWhatsAppAnswer(offer: WhatsAppOffer, local: LocalTransport, identity: AnswerIdentity): string {
  const v4 = bestOf(local.candidates, 4);
  const v6 = bestOf(local.candidates, 6);
  const usual = v4 ?? v6;
  const { audio, digits } = offer;
  const payloadTypes = digits === undefined ? `${audio.payloadType}` : `${audio.payloadType} ${digits.payloadType}`;
  const lines = [
    "v=0",
    `o=- ${identity.sessionId} 2 IN IP4 127.0.0.1`,
    "s=-",
    "t=0 0",
    ...(offer.mid === "" ? [] : [`a=group:BUNDLE ${offer.mid}`]),
    "a=msid-semantic: WMS ponte",
    `m=audio ${usual?.port ?? 9} UDP/TLS/RTP/SAVPF ${payloadTypes}`,
    usual === undefined ? "c=IN IP4 0.0.0.0" : `c=IN IP${usual === v4 ? 4 : 6} ${usual.address}`,
    "a=rtcp:9 IN IP4 0.0.0.0",
    ...[v4, v6].flatMap((candidate) => (candidate === undefined ? [] : [candidateLine(candidate)])),
    "a=end-of-candidates",
    `a=ice-ufrag:${local.ufrag}`,
    `a=ice-pwd:${local.pwd}`,
    `a=fingerprint:${local.fingerprint.algorithm} ${local.fingerprint.value}`,
    "a=setup:active",
    ...(offer.mid === "" ? [] : [`a=mid:${offer.mid}`]),
    "a=sendrecv",
    "a=msid:ponte ponte-audio",
    "a=rtcp-mux",
    `a=rtpmap:${audio.payloadType} opus/48000/2`,
    `a=fmtp:${audio.payloadType} ${OPUS_FMTP}`,
    ...(digits === undefined ? [] : [`a=rtpmap:${digits.payloadType} telephone-event/8000`]),
    "a=ptime:20",
    "a=maxptime:20",
    `a=ssrc:${identity.ssrc} cname:${identity.cname}`,
  ];
  return lines.map((line) => `${line}\r\n`).join("");
}

function bestOf(candidates: readonly Candidate[], version: 4 | 6): Candidate | undefined {
  return candidates
    .filter(({ address }) => ipVersion(address) === version)
    .reduce<Candidate | undefined>(
      (best, next) => (best === undefined || next.priority > best.priority ? next : best),
      undefined,
    );
}

/** RFC 8839 §5.1; what a translated address was translated from is nobody's business, so it reads as unspecified. */
function candidateLine({ foundation, component, priority, address, port, type }: Candidate): string {
  const related = type === "host" ? "" : ` raddr ${ipVersion(address) === 6 ? "::" : "0.0.0.0"} rport 9`;
  return `a=candidate:${foundation} ${component} udp ${priority} ${address} ${port} typ ${type}${related}`;
}
