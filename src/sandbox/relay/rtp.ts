/**
 * RTP as the sandbox's relay and phones need it (RFC 3550 §5.1), written apart from ponte's own, so that one mistake cannot
 * hide in both.
 *
 *      0                   1                   2                   3
 *     |V=2|P|X|  CC   |M|     PT      |       sequence number         |
 *     |                           timestamp                           |
 *     |                             SSRC                              |
 */
export interface RtpPacket {
  readonly payloadType: number;
  readonly marker: boolean;
  readonly sequence: number;
  readonly timestamp: number;
  readonly ssrc: number;
  /** A view into the packet. */
  readonly payload: Buffer;
}

export const OPUS_PT = 111;
export const DIGITS_PT = 126;

/** 20 ms at the 48 kHz clock of Opus. */
export const FRAME_TICKS = 960;

/** undefined when it is no RTP packet of version 2. */
export function readRtp(packet: Buffer): RtpPacket | undefined {
  if (packet.length < 12) return undefined;
  const first = packet.readUInt8(0);
  if (first >> 6 !== 2) return undefined;
  let start = 12 + (first & 15) * 4;
  if ((first & 0x10) !== 0) {
    if (packet.length < start + 4) return undefined;
    start += 4 + packet.readUInt16BE(start + 2) * 4;
  }
  const end = packet.length - ((first & 0x20) === 0 ? 0 : packet.readUInt8(packet.length - 1));
  if (start > end) return undefined;
  const second = packet.readUInt8(1);
  return {
    payloadType: second & 127,
    marker: second >= 128,
    sequence: packet.readUInt16BE(2),
    timestamp: packet.readUInt32BE(4),
    ssrc: packet.readUInt32BE(8),
    payload: packet.subarray(start, end),
  };
}

export function buildRtp(header: Omit<RtpPacket, "payload">, payload: Uint8Array): Buffer {
  const packet = Buffer.alloc(12 + payload.length);
  packet.writeUInt8(0x80, 0);
  packet.writeUInt8((header.marker ? 128 : 0) | header.payloadType, 1);
  packet.writeUInt16BE(header.sequence & 0xffff, 2);
  packet.writeUInt32BE(header.timestamp >>> 0, 4);
  packet.writeUInt32BE(header.ssrc >>> 0, 8);
  packet.set(payload, 12);
  return packet;
}

export function setSsrc(packet: Buffer, ssrc: number): void {
  packet.writeUInt32BE(ssrc >>> 0, 8);
}

/** How far `b` is behind `a` in a space of 16 bits: -32768 to 32767. */
export function sequenceDistance(a: number, b: number): number {
  return ((a - b) << 16) >> 16;
}

/** The same in a space of 32 bits. */
export function timestampDistance(a: number, b: number): number {
  return (a - b) | 0;
}

/** Length in units of 48 kHz of one Opus packet by its first bytes (RFC 6716 §3.1 and §3.2); 0 for an empty one. */
export function opusTicks(payload: Buffer): number {
  const toc = payload[0];
  if (toc === undefined) return 0;
  const config = toc >> 3;
  const silk = [480, 960, 1920, 2880];
  const celt = [120, 240, 480, 960];
  const frame = (config < 12 ? silk[config & 3] : config < 16 ? [480, 960][config & 1] : celt[config & 3]) ?? 0;
  const code = toc & 3;
  return frame * (code === 0 ? 1 : code < 3 ? 2 : (payload[1] ?? 0) & 63);
}

/** RFC 4733 §2.5.1.2 names of the first sixteen events. */
export const DIGITS = "0123456789*#ABCD";

/** One packet of a telephone-event (RFC 4733 §2.3): event, E R volume, duration. */
export function digitPayload(digit: string, end: boolean, duration: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt8(DIGITS.indexOf(digit), 0);
  payload.writeUInt8((end ? 0x80 : 0) | 10, 1);
  payload.writeUInt16BE(duration, 2);
  return payload;
}
