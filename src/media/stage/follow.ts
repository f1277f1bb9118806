import type { RtpView } from "#core/rtp/packet.ts";
import { sequenceDistance, timestampDistance } from "#core/rtp/serial.ts";

/** Further than this a packet is not late or lost: the stream began anew. */
const MAX_SEQUENCE_JUMP = 100;

/** What a packet means for a decoder that takes packets as they come. */
export type Arrival = "next" | "late" | "restart";

/** Follows one incoming stream and tells what is missing before each packet. */
export class StreamFollower {
  late = 0;
  /** Units of the RTP clock that are missing before this packet: never sent (a pause) or lost. */
  missingUnits = 0;
  /** Sequence numbers that are missing before this packet. 0 with `missingUnits` means a pause of the sender. */
  missingPackets = 0;
  #ssrc = -1;
  #expected = 0;
  #expectedTimestamp = 0;

  /** `units` is the length of this packet. A late packet's place has been filled already: it is of no use any more. */
  take(packet: RtpView, units: number): Arrival {
    const step = sequenceDistance(this.#expected, packet.sequence);
    const restart = packet.ssrc !== this.#ssrc || Math.abs(step) > MAX_SEQUENCE_JUMP;
    if (!restart && step < 0) {
      this.late += 1;
      return "late";
    }
    this.missingPackets = restart ? 0 : step;
    this.missingUnits = restart ? 0 : timestampDistance(this.#expectedTimestamp, packet.timestamp);
    this.#ssrc = packet.ssrc;
    this.#expected = (packet.sequence + 1) & 0xffff;
    this.#expectedTimestamp = packet.timestamp + units;
    return restart ? "restart" : "next";
  }

  /** This number did not carry audio, and is not a loss. */
  skip(sequence: number): void {
    if (sequenceDistance(this.#expected, sequence) >= 0) this.#expected = (sequence + 1) & 0xffff;
  }
}
