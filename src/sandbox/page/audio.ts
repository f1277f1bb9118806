/** What the other side hears. */
export interface Source {
  readonly stream: MediaStream;
  /** The microphone was wanted but is not there. */
  readonly fellBack: boolean;
  close(): void;
}

/** Half of full scale: loud, without clipping anywhere on the way. */
const TONE_GAIN = 0.5;

/**
 * The microphone as it is (what the browser does to voices would hurt tones), or a tone where there is none or by choice.
 */
export async function openSource(context: AudioContext, kind: "microphone" | "tone", hz: number): Promise<Source> {
  if (kind === "microphone") {
    const microphone = await openMicrophone();
    if (microphone !== undefined) return microphone;
  }
  const oscillator = new OscillatorNode(context, { frequency: hz });
  const gain = new GainNode(context, { gain: TONE_GAIN });
  const out = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
  oscillator.connect(gain).connect(out);
  oscillator.start();
  return { stream: out.stream, fellBack: kind === "microphone", close: () => oscillator.stop() };
}

async function openMicrophone(): Promise<Source | undefined> {
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    const close = (): void => {
      for (const track of stream.getTracks()) track.stop();
    };
    return { stream, fellBack: false, close };
  } catch {
    return undefined; // No device, or no permission: the page says so and takes the tone.
  }
}

export interface Sound {
  /** Level, dB relative to full scale; -96 in silence. */
  readonly db: number;
  /** The strongest frequency; 0 in silence. */
  readonly hz: number;
}

/** About 170 ms at 48 kHz: fine enough for frequencies to a hertz, with interpolation. */
const FFT_SIZE = 8192;
const SILENCE_DB = -55;

/** Level and strongest frequency of a stream, as it is now. */
export class Meter {
  readonly #analyser: AnalyserNode;
  readonly #source: MediaStreamAudioSourceNode;
  readonly #samples = new Float32Array(FFT_SIZE);
  readonly #spectrum = new Float32Array(FFT_SIZE / 2);

  constructor(context: AudioContext, stream: MediaStream) {
    this.#analyser = new AnalyserNode(context, { fftSize: FFT_SIZE, smoothingTimeConstant: 0 });
    this.#source = new MediaStreamAudioSourceNode(context, { mediaStream: stream });
    this.#source.connect(this.#analyser);
  }

  read(): Sound {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const sample of this.#samples) sum += sample * sample;
    const db = sum === 0 ? -96 : Math.max(-96, 10 * Math.log10((2 * sum) / FFT_SIZE));
    return { db, hz: db < SILENCE_DB ? 0 : this.#strongest() };
  }

  close(): void {
    this.#source.disconnect();
  }

  /** The highest peak of the spectrum, refined by a parabola through its neighbours. */
  #strongest(): number {
    this.#analyser.getFloatFrequencyData(this.#spectrum);
    let peak = 1;
    for (let bin = 2; bin < this.#spectrum.length - 1; bin += 1) {
      if (this.#at(bin) > this.#at(peak)) peak = bin;
    }
    const [left, top, right] = [this.#at(peak - 1), this.#at(peak), this.#at(peak + 1)];
    const bend = left - 2 * top + right;
    const shift = bend === 0 ? 0 : (left - right) / (2 * bend);
    return ((peak + shift) * this.#analyser.context.sampleRate) / FFT_SIZE;
  }

  #at(bin: number): number {
    return this.#spectrum[bin] ?? Number.NEGATIVE_INFINITY;
  }
}
