import { RTP_HEADER_BYTES, RtpView } from "#core/rtp/packet.ts";

/** Larger than any frame that we make: 120 ms of G.711 have 960 bytes, a 20 ms Opus packet at most 1275 (RFC 6716 §3.4). */
const SLOT_BYTES = RTP_HEADER_BYTES + 1_400;

/**
 * A full socket buffer makes the operating system take a packet later than we handed it over. A slot is used again only
 * after this many others, about 25 ms at 10 000 packets a second.
 */
const SLOTS = 256;

/** The packet that is being handled. A worker handles one at a time, from its arrival until it is sent on. */
export const currentPacket = new RtpView();

export interface Slot {
  readonly packet: Buffer;
  /** The same memory after the RTP header. */
  readonly payload: Buffer;
}

const slots: Slot[] = [];
let next = 0;

/** Room for one packet that is made here; one ring for the whole worker. */
export function takeSlot(): Slot {
  let slot = slots[next];
  if (slot === undefined) {
    const packet = Buffer.alloc(SLOT_BYTES);
    slot = { packet, payload: packet.subarray(RTP_HEADER_BYTES) };
    slots[next] = slot;
  }
  next = (next + 1) % SLOTS;
  return slot;
}
