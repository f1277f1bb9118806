import type { Reception } from "#core/rtp/reception.ts";
import type { Stage } from "./sink.ts";

/** Counts what passes. `timed` says that these packets' timestamps tell when they were sent. */
export function measure(reception: Reception, timed: boolean): Stage {
  return (next) => (packet) => {
    reception.take(packet.ssrc, packet.sequence, packet.timestamp, packet.at, packet.bytes.length, timed);
    next(packet);
  };
}
