/**
 * One RTP packet (RFC 3550 §5.1), read in place. A view is filled again and again, so that nothing is allocated per packet:
 *
 *      0                   1                   2                   3
 *     |V=2|P|X|  CC   |M|     PT      |       sequence number         |
 *     |                           timestamp                           |
 *     |                             SSRC                              |
 *     |  CC × CSRC, then with X: profile (16), words (16), extension  |
 *     |  payload, then with P: padding, whose last byte is its length |
 */
export const RTP_HEADER_BYTES = 12;

const NOTHING = Buffer.alloc(0);

export class RtpView {
  bytes: Buffer = NOTHING;
  marker = false;
  payloadType = 0;
  sequence = 0;
  timestamp = 0;
  ssrc = 0;
  /** The payload is `bytes` from `start` to `end`, without padding. `start` is at least 12. */
  start = 0;
  end = 0;
  /** When it came, in milliseconds of a monotonic clock. */
  at = 0;

  /** False when this is not a whole RTP packet of version 2; the view is then undefined. */
  read(bytes: Buffer, at: number): boolean {
    const length = bytes.length;
    if (length < RTP_HEADER_BYTES) return false;
    const first = byte(bytes, 0);
    if (first >> 6 !== 2) return false;
    let start = RTP_HEADER_BYTES + (first & 15) * 4;
    if ((first & 0x10) !== 0) {
      if (start + 4 > length) return false;
      start += 4 + word(bytes, start + 2) * 4;
    }
    let end = length;
    if ((first & 0x20) !== 0) {
      const padding = byte(bytes, length - 1);
      if (padding === 0) return false;
      end -= padding;
    }
    if (start > end) return false;
    const second = byte(bytes, 1);
    this.bytes = bytes;
    this.marker = second >= 128;
    this.payloadType = second & 127;
    this.sequence = word(bytes, 2);
    this.timestamp = long(bytes, 4);
    this.ssrc = long(bytes, 8);
    this.start = start;
    this.end = end;
    this.at = at;
    return true;
  }
}

/** Writes a header of 12 bytes at `at`. Sequence, timestamp and SSRC are taken modulo their width. */
export function writeRtpHeader(
  bytes: Buffer,
  at: number,
  marker: boolean,
  payloadType: number,
  sequence: number,
  timestamp: number,
  ssrc: number,
): void {
  bytes[at] = 0x80;
  bytes[at + 1] = marker ? payloadType | 128 : payloadType;
  bytes[at + 2] = sequence >> 8;
  bytes[at + 3] = sequence;
  bytes[at + 4] = timestamp >>> 24;
  bytes[at + 5] = timestamp >>> 16;
  bytes[at + 6] = timestamp >>> 8;
  bytes[at + 7] = timestamp;
  bytes[at + 8] = ssrc >>> 24;
  bytes[at + 9] = ssrc >>> 16;
  bytes[at + 10] = ssrc >>> 8;
  bytes[at + 11] = ssrc;
}

/** RTCP among RTP by its second byte: packet types 192 to 223 (RFC 5761 §4). */
export function looksLikeRtcp(bytes: Uint8Array): boolean {
  const second = byte(bytes, 1);
  return second >= 192 && second <= 223;
}

function byte(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0;
}

function word(bytes: Uint8Array, at: number): number {
  return (byte(bytes, at) << 8) | byte(bytes, at + 1);
}

function long(bytes: Uint8Array, at: number): number {
  return ((word(bytes, at) << 16) | word(bytes, at + 2)) >>> 0;
}
