import type { Side } from "#core/call/call.ts";
import { estimateMos } from "#core/rtp/mos.ts";
import type { Reception } from "#core/rtp/reception.ts";
import type { CodecName } from "#core/sdp/session.ts";
import type { LegStatistics } from "#engine/ports.ts";
import type { PbxLeg } from "#media/leg/pbx-leg.ts";
import type { RtcpSession } from "#media/leg/rtcp-session.ts";
import type { WhatsAppLeg } from "#media/leg/whatsapp-leg.ts";
import type { RtpOut } from "#media/stage/rtp-out.ts";
import type { SessionCounters } from "#media/transport/contract.ts";
import type { Bridge } from "./bridge.ts";

/** What the secure session refused, of all that it counts. */
const refusals = [
  "stunMalformed",
  "stunUnsigned",
  "stunForged",
  "stunUnexpected",
  "strangerPackets",
  "earlyMedia",
  "srtpForged",
  "srtpReplayed",
  "srtpMalformed",
  "srtpTooManySources",
  "dtlsPlaintextAlerts",
  "dtlsForgedSignature",
  "dtlsForgedFinished",
  "dtlsWrongFingerprint",
  "dtlsMalformed",
] as const satisfies readonly (keyof SessionCounters)[];

export function statisticsOfWhatsApp(leg: WhatsAppLeg, bridge: Bridge, codec: CodecName | undefined): LegStatistics {
  const counters = leg.session.counters();
  const refused = Object.fromEntries(refusals.map((name) => [inSnakeCase(name), counters[name]]));
  return legStatistics(leg, bridge, "a", codec, { ...refused, rtp_malformed: leg.malformed });
}

export function statisticsOfPbx(leg: PbxLeg, bridge: Bridge): LegStatistics {
  const { malformed, early, held } = leg.refused;
  const refused = { strangers: leg.strangers, rtp_malformed: malformed, before_answer: early, on_hold: held };
  return legStatistics(leg, bridge, "b", leg.session?.audio.codec, refused);
}

interface Measured {
  readonly reception: Reception;
  readonly out: RtpOut;
  readonly rtcp: RtcpSession;
}

function legStatistics(
  { reception, out, rtcp }: Measured,
  bridge: Bridge,
  side: Side,
  codec: CodecName | undefined,
  refused: Readonly<Record<string, number>>,
): LegStatistics {
  const { roundTripMs } = rtcp;
  const { lossRatio, jitterMs } = reception;
  const counts = bridge.counts();
  const known = codec !== undefined && reception.packets > 0;
  const digits = bridge.digitsOf(side);
  return {
    ...(codec === undefined ? {} : { codec }),
    packetsIn: reception.packets,
    packetsOut: out.packets,
    bytesIn: reception.bytes,
    bytesOut: out.bytes,
    lost: reception.lost,
    lossRatio,
    jitterMs,
    longestGapMs: reception.longestGapMs,
    ...(roundTripMs === undefined ? {} : { roundTripMs }),
    ...(known
      ? { mos: estimateMos({ codec, lossRatio, jitterMs, ...(roundTripMs === undefined ? {} : { roundTripMs }) }) }
      : {}),
    digitsIn: digits.in,
    digitsOut: digits.out,
    refused: withoutZeros({
      ...refused,
      late: counts.late[side],
      undecodable: counts.undecodable[side],
      unknown_payload_type: bridge.unknownOf(side),
      rtcp_malformed: rtcp.malformed,
    }),
  };
}

function withoutZeros(counts: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
}

function inSnakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
