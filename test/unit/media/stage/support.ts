import { RtpView, writeRtpHeader } from "#core/rtp/packet.ts";
import { RtpOut } from "#media/stage/rtp-out.ts";
import type { AudioSink, PcmSink } from "#media/stage/sink.ts";

export interface Sent {
  readonly payloadType: number;
  readonly marker: boolean;
  readonly sequence: number;
  readonly timestamp: number;
  readonly ssrc: number;
  readonly payload: Buffer;
}

/** A stream whose packets are kept. Starts at sequence 1001 and timestamp 5000. */
export function outgoing(clockRate = 48_000): { readonly out: RtpOut; readonly sent: Sent[] } {
  const sent: Sent[] = [];
  const out = new RtpOut({
    ssrc: 0xabc,
    sequence: 1_000,
    timestamp: 5_000,
    to: { sendRtp: (packet) => sent.push(read(packet)) > 0 },
  });
  out.setClockRate(clockRate);
  out.setOpen(true);
  return { out, sent };
}

export function read(packet: Buffer): Sent {
  const view = new RtpView();
  if (!view.read(packet, 0)) throw new Error("not RTP");
  const { payloadType, marker, sequence, timestamp, ssrc, start, end } = view;
  return { payloadType, marker, sequence, timestamp, ssrc, payload: Buffer.from(packet.subarray(start, end)) };
}

export interface Incoming {
  readonly sequence: number;
  readonly timestamp: number;
  readonly payload?: Uint8Array;
  readonly ssrc?: number;
  readonly payloadType?: number;
  readonly marker?: boolean;
  readonly at?: number;
}

/** An Opus packet of 20 ms: SILK, wideband, one frame, without FEC. */
const OPUS_PAYLOAD = Uint8Array.of(0x48, 0x00, 0x01, 0x02);

export function incoming(packet: Incoming): RtpView {
  const { sequence, timestamp, payload = OPUS_PAYLOAD, ssrc = 77, payloadType = 96, marker = false, at = 0 } = packet;
  const bytes = Buffer.alloc(12 + payload.length);
  writeRtpHeader(bytes, 0, marker, payloadType, sequence, timestamp, ssrc);
  bytes.set(payload, 12);
  const view = new RtpView();
  view.read(bytes, at);
  return view;
}

/** Keeps what it hears. */
export class PcmRecorder implements PcmSink {
  readonly frames: Int16Array[] = [];
  interruptions = 0;
  take(samples: Int16Array): void {
    this.frames.push(samples.slice());
  }
  interrupt(): void {
    this.interruptions += 1;
  }
  all(): Int16Array {
    const all = new Int16Array(this.frames.reduce((sum, frame) => sum + frame.length, 0));
    let at = 0;
    for (const frame of this.frames) {
      all.set(frame, at);
      at += frame.length;
    }
    return all;
  }
}

/** Feeds audio packets of 20 ms, one after the other, starting at `sequence` and `timestamp`. */
export function feed(
  sink: AudioSink,
  payloads: readonly (Uint8Array | undefined)[],
  units: number,
  from = { sequence: 10, timestamp: 1_000 },
): void {
  for (const [index, payload] of payloads.entries()) {
    if (payload === undefined) continue;
    sink.take(
      incoming({
        sequence: (from.sequence + index) & 0xffff,
        timestamp: (from.timestamp + index * units) >>> 0,
        payload,
        at: index * 20,
      }),
    );
  }
}
