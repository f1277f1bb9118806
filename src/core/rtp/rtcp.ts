import type { ReceptionReport } from "./reception.ts";

/**
 * RTCP (RFC 3550 §6): several packets in one datagram, a compound.
 *
 *      0                   1                   2                   3
 *     |V=2|P|  count  |  packet type  |     length in words − 1       |
 */
const SENDER_REPORT = 200;
const RECEIVER_REPORT = 201;
const SOURCE_DESCRIPTION = 202;
const GOODBYE = 203;
const HEADER_BYTES = 4;
const BLOCK_BYTES = 24;
const SENDER_INFO_BYTES = 20;
const CNAME = 1;

/** More packets than this in one datagram are an attack, not a report. */
const MAX_PACKETS = 32;
/** Largest compound that `writeRtcp` makes: SR with one block, SDES with a CNAME of 255 bytes, BYE. */
export const MAX_RTCP_BYTES = 360;

/** Seconds from 1900, the epoch of NTP, to 1970. */
const NTP_EPOCH_S = 2_208_988_800;

/** A report block as received. Times in 1/65536 s; 0 means that no sender report was seen. */
export interface ReportBlock extends ReceptionReport {
  readonly lastSenderReport: number;
  readonly delaySinceLast: number;
}

export type RtcpPacket =
  | {
      readonly type: "sender_report";
      readonly ssrc: number;
      /** The middle 32 bits of the NTP time, to be sent back as `lastSenderReport`. */
      readonly ntpMiddle: number;
      readonly rtpTimestamp: number;
      readonly packets: number;
      readonly octets: number;
      readonly blocks: readonly ReportBlock[];
    }
  | { readonly type: "receiver_report"; readonly ssrc: number; readonly blocks: readonly ReportBlock[] }
  | { readonly type: "source_description"; readonly ssrc: number; readonly cname: string | undefined }
  | { readonly type: "goodbye"; readonly ssrcs: readonly number[] }
  | { readonly type: "other"; readonly packetType: number };

/**
 * Reads a compound; undefined when any part of it is broken (RFC 3550 §A.2), so that nothing of it is believed. A first packet
 * other than a report is let through: reduced-size RTCP (RFC 5506) begins with feedback.
 */
export function parseRtcp(bytes: Buffer): RtcpPacket[] | undefined {
  const packets: RtcpPacket[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (packets.length >= MAX_PACKETS || at + HEADER_BYTES > bytes.length) return undefined;
    const first = bytes.readUInt8(at);
    const end = at + (bytes.readUInt16BE(at + 2) + 1) * 4;
    const padded = (first & 0x20) !== 0;
    // Only the last packet of a compound may be padded.
    if (first >> 6 !== 2 || end > bytes.length || (padded && end !== bytes.length)) return undefined;
    const padding = padded ? bytes.readUInt8(end - 1) : 0;
    if (padded && (padding === 0 || padding > end - at - HEADER_BYTES)) return undefined;
    const packet = parseOne(bytes.subarray(at, end - padding), first & 31);
    if (packet === undefined) return undefined;
    packets.push(packet);
    at = end;
  }
  return packets.length === 0 ? undefined : packets;
}

function parseOne(bytes: Buffer, count: number): RtcpPacket | undefined {
  const packetType = bytes.readUInt8(1);
  switch (packetType) {
    case SENDER_REPORT: {
      const blocksAt = HEADER_BYTES + 4 + SENDER_INFO_BYTES;
      if (bytes.length < blocksAt + count * BLOCK_BYTES) return undefined;
      return {
        type: "sender_report",
        ssrc: bytes.readUInt32BE(4),
        ntpMiddle: bytes.readUInt32BE(10),
        rtpTimestamp: bytes.readUInt32BE(16),
        packets: bytes.readUInt32BE(20),
        octets: bytes.readUInt32BE(24),
        blocks: readBlocks(bytes, blocksAt, count),
      };
    }
    case RECEIVER_REPORT: {
      if (bytes.length < 8 + count * BLOCK_BYTES) return undefined;
      return { type: "receiver_report", ssrc: bytes.readUInt32BE(4), blocks: readBlocks(bytes, 8, count) };
    }
    case SOURCE_DESCRIPTION:
      return count === 0 ? { type: "other", packetType } : readDescription(bytes);
    case GOODBYE: {
      if (bytes.length < HEADER_BYTES + count * 4) return undefined;
      const ssrcs: number[] = [];
      for (let i = 0; i < count; i += 1) ssrcs.push(bytes.readUInt32BE(HEADER_BYTES + i * 4));
      return { type: "goodbye", ssrcs };
    }
    default:
      return { type: "other", packetType };
  }
}

function readBlocks(bytes: Buffer, at: number, count: number): ReportBlock[] {
  const blocks: ReportBlock[] = [];
  for (let i = 0; i < count; i += 1) {
    const start = at + i * BLOCK_BYTES;
    blocks.push({
      ssrc: bytes.readUInt32BE(start),
      fractionLost: bytes.readUInt8(start + 4),
      cumulativeLost: bytes.readIntBE(start + 5, 3),
      extendedHighestSequence: bytes.readUInt32BE(start + 8),
      jitter: bytes.readUInt32BE(start + 12),
      lastSenderReport: bytes.readUInt32BE(start + 16),
      delaySinceLast: bytes.readUInt32BE(start + 20),
    });
  }
  return blocks;
}

/** The first chunk's SSRC and CNAME (RFC 3550 §6.5). */
function readDescription(bytes: Buffer): RtcpPacket | undefined {
  if (bytes.length < 8) return undefined;
  const ssrc = bytes.readUInt32BE(4);
  let at = 8;
  while (at < bytes.length) {
    const item = bytes.readUInt8(at);
    if (item === 0) break;
    if (at + 2 > bytes.length) return undefined;
    const end = at + 2 + bytes.readUInt8(at + 1);
    if (end > bytes.length) return undefined;
    if (item === CNAME) return { type: "source_description", ssrc, cname: bytes.toString("utf8", at + 2, end) };
    at = end;
  }
  return { type: "source_description", ssrc, cname: undefined };
}

/** What one of our compounds says. */
export interface RtcpReport {
  readonly ssrc: number;
  readonly cname: string;
  /** Present when RTP was sent since the report before: then it is a sender report. */
  readonly sender?: {
    /** Unix milliseconds, and the RTP timestamp of that very moment. */
    readonly wallMs: number;
    readonly rtpTimestamp: number;
    readonly packets: number;
    readonly octets: number;
  };
  readonly block?: ReportBlock;
  readonly goodbye?: boolean;
}

/** Writes SR or RR, SDES and, on request, BYE. Returns the number of bytes; `bytes` has room for MAX_RTCP_BYTES. */
export function writeRtcp(bytes: Buffer, report: RtcpReport): number {
  let at = writeReport(bytes, report);
  at = writeCname(bytes, at, report);
  return report.goodbye === true ? writeGoodbye(bytes, at, report.ssrc) : at;
}

function writeReport(bytes: Buffer, report: RtcpReport): number {
  const { sender, block } = report;
  let at = 8;
  bytes.writeUInt32BE(report.ssrc, 4);
  if (sender !== undefined) {
    bytes.writeUInt32BE(ntpSeconds(sender.wallMs), 8);
    bytes.writeUInt32BE(ntpFraction(sender.wallMs), 12);
    bytes.writeUInt32BE(sender.rtpTimestamp >>> 0, 16);
    bytes.writeUInt32BE(sender.packets >>> 0, 20);
    bytes.writeUInt32BE(sender.octets >>> 0, 24);
    at += SENDER_INFO_BYTES;
  }
  if (block !== undefined) {
    bytes.writeUInt32BE(block.ssrc, at);
    bytes.writeUInt8(block.fractionLost, at + 4);
    bytes.writeIntBE(block.cumulativeLost, at + 5, 3);
    bytes.writeUInt32BE(block.extendedHighestSequence, at + 8);
    bytes.writeUInt32BE(block.jitter >>> 0, at + 12);
    bytes.writeUInt32BE(block.lastSenderReport, at + 16);
    bytes.writeUInt32BE(block.delaySinceLast >>> 0, at + 20);
    at += BLOCK_BYTES;
  }
  writeHeader(bytes, 0, block === undefined ? 0 : 1, sender === undefined ? RECEIVER_REPORT : SENDER_REPORT, at);
  return at;
}

/** Items end with a zero byte and are padded to 4 bytes (RFC 3550 §6.5). */
function writeCname(bytes: Buffer, at: number, report: RtcpReport): number {
  const length = bytes.write(report.cname.slice(0, 255), at + 10, 255, "latin1");
  bytes.writeUInt32BE(report.ssrc, at + 4);
  bytes.writeUInt8(CNAME, at + 8);
  bytes.writeUInt8(length, at + 9);
  const itemsEnd = at + 10 + length;
  const end = at + ((10 + length) & ~3) + 4;
  bytes.fill(0, itemsEnd, end);
  writeHeader(bytes, at, 1, SOURCE_DESCRIPTION, end);
  return end;
}

function writeGoodbye(bytes: Buffer, at: number, ssrc: number): number {
  bytes.writeUInt32BE(ssrc, at + 4);
  writeHeader(bytes, at, 1, GOODBYE, at + 8);
  return at + 8;
}

function writeHeader(bytes: Buffer, at: number, count: number, packetType: number, end: number): void {
  bytes.writeUInt8(0x80 | count, at);
  bytes.writeUInt8(packetType, at + 1);
  bytes.writeUInt16BE((end - at) / 4 - 1, at + 2);
}

function ntpSeconds(wallMs: number): number {
  return (Math.floor(wallMs / 1_000) + NTP_EPOCH_S) >>> 0;
}

function ntpFraction(wallMs: number): number {
  return Math.floor(((wallMs % 1_000) / 1_000) * 0x1_0000_0000) >>> 0;
}

/** The middle 32 bits of an NTP time, in 1/65536 s. */
export function ntpMiddleOf(wallMs: number): number {
  return ((ntpSeconds(wallMs) << 16) | (ntpFraction(wallMs) >>> 16)) >>> 0;
}

/** Round trip by RFC 3550 §6.4.1, milliseconds; undefined when the block tells nothing or nonsense. */
export function roundTripMs(block: ReportBlock, wallMs: number): number | undefined {
  if (block.lastSenderReport === 0) return undefined;
  const units = (ntpMiddleOf(wallMs) - block.lastSenderReport - block.delaySinceLast) | 0;
  // A clock step or a lie; nothing on earth is farther away than ten seconds.
  if (units < 0 || units > 10 * 65_536) return undefined;
  return (units * 1_000) / 65_536;
}
