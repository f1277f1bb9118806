import type { CodecName } from "#core/sdp/session.ts";
import type { PbxCall } from "./pbx-call.ts";

/** What happens to a call to one number, or to a family of numbers. A call that is still there at the end is hung up. */
export interface PbxNumber {
  readonly pattern: RegExp;
  readonly says: string;
  /** Formats that this number can do; tones are made in G.711 only. */
  readonly codecs?: readonly CodecName[];
  /** `argument` is the first group of the pattern. */
  readonly script: (call: PbxCall, argument: string) => Promise<void>;
}

const G711: readonly CodecName[] = ["PCMU", "PCMA"];
const ANY: readonly CodecName[] = ["opus", ...G711];
const KEYS = "0123456789*#ABCD";

async function echo(call: PbxCall): Promise<void> {
  call.play({ type: "echo" });
  await call.forever();
}

async function tone(call: PbxCall, hz: number, ms: number): Promise<void> {
  call.play({ type: "tone", hz });
  await call.wait(ms);
}

/** Rises with the key: 500 Hz for 0, 600 Hz for 1, and so on, so that a person can tell what was read. */
export function toneOfKey(key: string): number {
  return 500 + 100 * Math.max(0, KEYS.indexOf(key));
}

async function readBack(call: PbxCall): Promise<void> {
  await call.answer();
  call.play({ type: "silence" });
  const digits = await call.readDigits(4, 20_000);
  for (const digit of digits) {
    await call.press(digit, 160);
    await tone(call, toneOfKey(digit), 400);
    call.play({ type: "silence" });
    await call.wait(100);
  }
}

async function holdAndBack(call: PbxCall): Promise<void> {
  await call.answer();
  await tone(call, 440, 2_000);
  await call.reoffer("INVITE", { direction: "sendonly" });
  await tone(call, 440, 3_000);
  await call.reoffer("INVITE", { direction: "sendrecv" });
  await echo(call);
}

function otherCodec(method: "INVITE" | "UPDATE", codec: CodecName): PbxNumber["script"] {
  return async (call) => {
    await call.answer();
    call.play({ type: "silence" });
    await call.wait(2_000);
    await call.reoffer(method, { codecs: [codec] });
    await echo(call);
  };
}

/** The numbers are those of the Asterisk that the tests use, so that every scenario runs against both. */
export const numbers: readonly PbxNumber[] = [
  {
    pattern: /^600$/,
    says: "echo",
    codecs: ANY,
    script: async (call) => {
      await call.answer();
      await echo(call);
    },
  },
  {
    pattern: /^601$/,
    says: "1004 Hz, without end",
    script: async (call) => {
      await call.answer();
      call.play({ type: "tone", hz: 1_004 });
      await call.forever();
    },
  },
  {
    pattern: /^602(\d{2,4})$/,
    says: "602 and a frequency: that tone for 20 s",
    script: async (call, hz) => {
      await call.answer();
      await tone(call, Number(hz), 20_000);
    },
  },
  {
    pattern: /^604$/,
    says: "silence for 20 s",
    script: async (call) => {
      await call.answer();
      call.play({ type: "silence" });
      await call.wait(20_000);
    },
  },
  {
    pattern: /^610$/,
    says: "reads up to four digits (# ends), gives them back as digits and as tones",
    script: readBack,
  },
  {
    pattern: /^611$/,
    says: "sends 0123456789*#ABCD as digits",
    script: async (call) => {
      await call.answer();
      call.play({ type: "silence" });
      await call.wait(1_000);
      for (const key of KEYS) {
        await call.press(key, 150);
        await call.wait(140);
      }
      await call.wait(2_000);
    },
  },
  { pattern: /^620$/, says: "tone, hold for 3 s, back, echo", script: holdAndBack },
  { pattern: /^621$/, says: "re-INVITE that offers only PCMU, echo", script: otherCodec("INVITE", "PCMU") },
  { pattern: /^622$/, says: "re-INVITE that offers only PCMA, echo", script: otherCodec("INVITE", "PCMA") },
  { pattern: /^623$/, says: "UPDATE that offers only PCMU, echo", script: otherCodec("UPDATE", "PCMU") },
  { pattern: /^640$/, says: "busy", script: (call) => call.refuse(486, 17) },
  {
    pattern: /^641$/,
    says: "rings for 120 s",
    script: async (call) => {
      call.ring();
      await call.wait(120_000);
      await call.refuse(480, 19);
    },
  },
  { pattern: /^642$/, says: "503", script: (call) => call.refuse(503, 34) },
  { pattern: /^643$/, says: "404", script: (call) => call.refuse(404, 1) },
  { pattern: /^644$/, says: "403", script: (call) => call.refuse(403, 21) },
  {
    pattern: /^645$/,
    says: "early media for 4 s, then busy",
    script: async (call) => {
      call.earlyMedia({ type: "tone", hz: 480 });
      await call.wait(4_000);
      await call.refuse(486, 17);
    },
  },
  {
    pattern: /^646$/,
    says: "100 only, for 120 s",
    script: async (call) => {
      await call.wait(120_000);
      await call.refuse(480, 19);
    },
  },
  {
    pattern: /^650$/,
    says: "rings 3 s, answers, echo",
    codecs: ANY,
    script: async (call) => {
      call.ring();
      await call.wait(3_000);
      await call.answer();
      await echo(call);
    },
  },
  {
    pattern: /^651$/,
    says: "early media 3 s, answers, echo",
    script: async (call) => {
      call.earlyMedia({ type: "tone", hz: 425 });
      await call.wait(3_000);
      await call.answer();
      await echo(call);
    },
  },
  {
    pattern: /^652$/,
    says: "tone, hangs up after 3 s",
    script: async (call) => {
      await call.answer();
      await tone(call, 440, 3_000);
    },
  },
];

export const usualCodecs = G711;
