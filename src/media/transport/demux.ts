/** What a datagram on the one port is, by its first byte (RFC 7983 §7) and, for RTCP, its second (RFC 5761 §4). */
export type PacketKind = "stun" | "dtls" | "rtp" | "rtcp" | "unknown";

export function packetKind(packet: Buffer): PacketKind {
  const first = packet[0];
  if (first === undefined) return "unknown";
  if (first >= 128 && first <= 191) return isRtcp(packet) ? "rtcp" : "rtp";
  if (first <= 3) return "stun";
  if (first >= 20 && first <= 63) return "dtls";
  return "unknown";
}

/** RTCP packet types 192 to 223 are the payload types 64 to 95 with the marker set, which RTP must not use. */
function isRtcp(packet: Buffer): boolean {
  const second = packet[1];
  return second !== undefined && second >= 192 && second <= 223;
}
