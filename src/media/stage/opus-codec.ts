import {
  Application,
  createDecoder,
  createEncoder,
  loadLibopus,
  type OpusDecoderHandle,
  type OpusEncoderHandle,
  Signal,
} from "libopus-wasm";
import { FRAME_SAMPLES, PCM_RATE } from "./sink.ts";

/** Narrowband speech: what G.711 has to give is kept at this rate, and it is what WhatsApp's own side sends. */
const BITRATE = 20_000;
/** How much loss the in-band FEC is made for. */
const EXPECTED_LOSS_PERCENT = 10;
/** The encoder's work, 0 to 10; see `CodecLoad`. */
export const FULL_COMPLEXITY = 5;

export type { OpusDecoderHandle, OpusEncoderHandle };

/** Compiles the WebAssembly of libopus once, so that the first call does not wait for it. */
export async function loadOpus(): Promise<void> {
  await loadLibopus();
}

/** Mono at 8 kHz on the PCM side: libopus converts inside, and no resampler is needed towards G.711. */
export async function makeDecoder(): Promise<OpusDecoderHandle> {
  return await createDecoder({ sampleRate: PCM_RATE, channels: 1 });
}

export async function makeEncoder(complexity: number): Promise<OpusEncoderHandle> {
  return await createEncoder({
    sampleRate: PCM_RATE,
    channels: 1,
    application: Application.Voip,
    bitrate: BITRATE,
    complexity,
    dtx: false,
    fec: true,
    packetLossPercent: EXPECTED_LOSS_PERCENT,
    signal: Signal.Voice,
    frameSize: FRAME_SAMPLES,
  });
}
