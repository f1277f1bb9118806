/**
 * Something that an encoder takes for speech: a voice of harmonics whose pitch and loudness move in syllables, with breath.
 * The same every time, as all of it is computed from a seed.
 */

const SYLLABLES_PER_SECOND = 4;
const PITCH_HZ = 130;
const HARMONICS = 20;

/** A linear congruential generator (Numerical Recipes), −1 to 1. */
function seededNoise(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 0x8000_0000 - 1;
  };
}

/** Frames of 20 ms. */
export function speech(sampleRate: number, frames: number): Int16Array[] {
  const noise = seededNoise(7);
  const length = sampleRate / 50;
  let phase = 0;
  return Array.from({ length: frames }, (_, frame) => {
    const samples = new Int16Array(length);
    for (let i = 0; i < length; i += 1) {
      const t = (frame * length + i) / sampleRate;
      const loudness = Math.max(0.05, Math.sin(Math.PI * ((t * SYLLABLES_PER_SECOND) % 1)));
      const pitch = PITCH_HZ * (1 + 0.15 * Math.sin(2 * Math.PI * 0.7 * t));
      phase += (2 * Math.PI * pitch) / sampleRate;
      let voice = 0;
      for (let h = 1; h <= HARMONICS; h += 1) voice += formant(pitch * h) * Math.sin(phase * h);
      samples[i] = Math.round(6_000 * loudness * (voice + 0.1 * noise()));
    }
    return samples;
  });
}

/** Resonances of an open vowel. */
function formant(hz: number): number {
  const peak = (centre: number, width: number) => 1 / (1 + ((hz - centre) / width) ** 2);
  return 0.7 * peak(700, 120) + 0.35 * peak(1_200, 150) + 0.15 * peak(2_600, 250);
}
