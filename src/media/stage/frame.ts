import { RTP_HEADER_BYTES, RtpView } from "#core/rtp/packet.ts";

/** The packet that is being handled. A worker handles one at a time, from its arrival until it is sent on. */
export const currentPacket = new RtpView();

/**
 * Room for one packet that is made here, its header first. Always new memory (from Node's pool, so it is cheap): a full socket
 * buffer makes the system take a packet later than it was handed over, and it must not be another call's by then.
 */
export function newFrame(payloadBytes: number): Buffer {
  return Buffer.allocUnsafe(RTP_HEADER_BYTES + payloadBytes);
}

/** The part after the header. */
export function payloadOf(frame: Buffer): Buffer {
  return frame.subarray(RTP_HEADER_BYTES);
}
