import type { LocalTransport } from "#core/sdp/transport.ts";
import type { Modes } from "#sandbox/meta/modes.ts";

export interface OfferFacts {
  readonly local: LocalTransport;
  readonly ssrc: number;
  /** For `a=msid` and the like. */
  readonly streamId: string;
  /** Unix milliseconds; Meta's session id is a timestamp. */
  readonly now: number;
  readonly ipv6: Modes["ipv6"];
}

/** RFC 3849: addresses for documentation, which lead nowhere. */
const UNREACHABLE_IPV6 = "2001:db8:f36b:131:face:b00c:0:699c";

const FMTP = "maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1";

/** The offer in the shape of captures since October 2025; only the values that change from call to call are ours. */
export function currentOffer(facts: OfferFacts): string {
  const { local, ssrc, streamId, now } = facts;
  const { address, port } = place(local);
  return lines([
    "v=0",
    `o=- ${Math.floor(now)} 2 IN IP4 127.0.0.1`,
    "s=-",
    "t=0 0",
    "a=group:BUNDLE audio",
    `a=msid-semantic: WMS ${streamId}`,
    "a=ice-lite",
    `m=audio ${port} UDP/TLS/RTP/SAVPF 111 126`,
    `c=IN IP4 ${address}`,
    "a=rtcp:9 IN IP4 0.0.0.0",
    ...candidates(facts, 2_122_260_223, 2_122_262_783, ""),
    `a=ice-ufrag:${local.ufrag}`,
    `a=ice-pwd:${local.pwd}`,
    `a=fingerprint:${local.fingerprint.algorithm} ${local.fingerprint.value}`,
    "a=setup:actpass",
    "a=mid:audio",
    "a=sendrecv",
    `a=msid:${streamId} WhatsAppTrack1`,
    "a=rtcp-mux",
    "a=rtpmap:111 opus/48000/2",
    "a=rtcp-fb:111 transport-cc",
    `a=fmtp:111 ${FMTP}`,
    "a=rtpmap:126 telephone-event/8000",
    "a=maxptime:20",
    "a=ptime:20",
    `a=ssrc:${ssrc} cname:WhatsAppAudioStream1`,
  ]);
}

/** The older shape, still in Meta's reference page. */
export function olderOffer(facts: OfferFacts): string {
  const { local, ssrc, streamId, now } = facts;
  const { address, port } = place(local);
  return lines([
    "v=0",
    `o=- ${Math.floor(now)} 2 IN IP4 127.0.0.1`,
    "s=-",
    "t=0 0",
    "a=group:BUNDLE audio",
    "a=extmap-allow-mixed",
    `a=msid-semantic: WMS ${streamId}`,
    "a=ice-lite",
    `m=audio ${port} UDP/TLS/RTP/SAVPF 111 126`,
    `c=IN IP4 ${address}`,
    "a=rtcp:9 IN IP4 0.0.0.0",
    ...candidates(facts, 2_113_937_151, 2_113_939_711, ` ufrag ${local.ufrag}`),
    `a=ice-ufrag:${local.ufrag}`,
    `a=ice-pwd:${local.pwd}`,
    `a=fingerprint:${local.fingerprint.algorithm} ${local.fingerprint.value}`,
    "a=setup:actpass",
    "a=mid:audio",
    "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "a=sendrecv",
    "a=rtcp-mux",
    "a=rtpmap:111 opus/48000/2",
    "a=rtcp-fb:111 transport-cc",
    "a=fmtp:111 minptime=10;useinbandfec=1",
    "a=rtpmap:126 telephone-event/8000",
    `a=ssrc:${ssrc} cname:WhatsAppAudioStream1`,
    `a=ssrc:${ssrc} msid:${streamId} WhatsAppTrack1`,
    `a=ssrc:${ssrc} mslabel:${streamId}`,
    `a=ssrc:${ssrc} label:WhatsAppTrack1`,
  ]);
}

function candidates({ local, ipv6 }: OfferFacts, priority4: number, priority6: number, tail: string): string[] {
  const line = (foundation: number, priority: number, address: string, port: number): string =>
    `a=candidate:${foundation} 1 udp ${priority} ${address} ${port} typ host generation 0 network-cost 50${tail}`;
  const all = local.candidates.map(({ address, port }) =>
    address.includes(":") ? line(2617197009, priority6, address, port) : line(3935165743, priority4, address, port),
  );
  return ipv6 === "unreachable" ? [...all, line(2617197009, priority6, UNREACHABLE_IPV6, place(local).port)] : all;
}

function place(local: LocalTransport): { readonly address: string; readonly port: number } {
  const found = local.candidates.find(({ address }) => !address.includes(":"));
  return found ?? { address: "0.0.0.0", port: 9 };
}

function lines(all: readonly string[]): string {
  return `${all.join("\r\n")}\r\n`;
}
