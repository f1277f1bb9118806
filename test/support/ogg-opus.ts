import { Application, createDecoder, createEncoder } from "libopus-wasm";
import { ToneGenerator } from "#core/audio/tone.ts";

/** Band in which tones are made and heard, Hz; libopus takes it as it is. */
export const OGG_SAMPLE_RATE = 16_000;
const FRAME_MS = 20;
const FRAME_SAMPLES = (OGG_SAMPLE_RATE * FRAME_MS) / 1_000;
const TICKS_PER_FRAME = 960;
const HEADER_BYTES = 27;

/** An Ogg-Opus file (RFC 7845) with a tone, a page for each packet of 20 ms. */
export async function toneFile(hz: number, seconds: number): Promise<Buffer> {
  const encoder = await createEncoder({
    sampleRate: OGG_SAMPLE_RATE,
    channels: 1,
    application: Application.Voip,
    bitrate: 24_000,
    complexity: 2,
    frameSize: FRAME_SAMPLES,
  });
  const tone = new ToneGenerator(hz, OGG_SAMPLE_RATE);
  const frames = Array.from({ length: (seconds * 1_000) / FRAME_MS }, () =>
    Buffer.from(encoder.encode(tone.fill(new Int16Array(FRAME_SAMPLES)))),
  );
  encoder.free();
  const head = Buffer.from("4f707573486561640101000080bb0000000000", "hex");
  const tags = Buffer.concat([Buffer.from("OpusTags"), Buffer.from("05000000706f6e746500000000", "hex")]);
  const packets = [head, tags, ...frames];
  return Buffer.concat(
    packets.map((packet, index) => {
      const flags = index === 0 ? 2 : index === packets.length - 1 ? 4 : 0;
      return page(packet, index, Math.max(0, index - 1) * TICKS_PER_FRAME, flags);
    }),
  );
}

/** What an Ogg-Opus file sounds like, at `OGG_SAMPLE_RATE`. A page that is not whole yet ends it. */
export async function soundOf(file: Buffer): Promise<Int16Array> {
  const decoder = await createDecoder({ sampleRate: OGG_SAMPLE_RATE, channels: 1 });
  const pieces = packetsOf(file)
    .filter((packet) => packet.subarray(0, 4).toString("latin1") !== "Opus")
    .map((packet) => Int16Array.from(decoder.decode(packet)));
  decoder.free();
  const samples = new Int16Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    samples.set(piece, at);
    at += piece.length;
  }
  return samples;
}

/**
 * One page (RFC 3533 §6) with one packet of less than 255 × 255 bytes.
 *
 *     "OggS" | version, flags | granule position (64) | serial (32) | sequence (32) | CRC (32) | segments | their lengths
 */
function page(packet: Buffer, sequence: number, granule: number, flags: number): Buffer {
  const lacing = Buffer.alloc(Math.floor(packet.length / 255) + 1, 255);
  lacing[lacing.length - 1] = packet.length % 255;
  const header = Buffer.alloc(HEADER_BYTES);
  header.write("OggS", "latin1");
  header.writeUInt8(flags, 5);
  header.writeBigUInt64LE(BigInt(granule), 6);
  header.writeUInt32LE(0x706f6e74, 14);
  header.writeUInt32LE(sequence, 18);
  header.writeUInt8(lacing.length, 26);
  const whole = Buffer.concat([header, lacing, packet]);
  whole.writeUInt32LE(crc(whole), 22);
  return whole;
}

/** Packets of pages that hold whole packets, as writers of RTP recordings make them. */
function packetsOf(file: Buffer): Buffer[] {
  const packets: Buffer[] = [];
  for (let at = 0; at + HEADER_BYTES <= file.length && file.toString("latin1", at, at + 4) === "OggS"; ) {
    const segments = file.readUInt8(at + 26);
    const lengths = [...file.subarray(at + HEADER_BYTES, at + HEADER_BYTES + segments)];
    at += HEADER_BYTES + segments;
    let length = 0;
    for (const segment of lengths) {
      length += segment;
      if (segment === 255) continue;
      if (at + length <= file.length) packets.push(file.subarray(at, at + length));
      at += length;
      length = 0;
    }
  }
  return packets;
}

/** CRC-32 of Ogg: polynomial 0x04c11db7, not reflected, starting from zero. */
function crc(bytes: Buffer): number {
  let sum = 0;
  for (const byte of bytes) {
    sum ^= byte << 24;
    for (let bit = 0; bit < 8; bit += 1) sum = sum < 0 ? (sum << 1) ^ 0x04c11db7 : sum << 1;
  }
  return sum >>> 0;
}
