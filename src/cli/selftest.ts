import { parseArgs } from "node:util";
import { PonteError } from "#core/error.ts";
import { createLog } from "#src/log.ts";
import { selftest as runSelftest, type SelftestReport } from "#src/selftest.ts";
import type { CallReport } from "#src/test-calls.ts";
import type { Command } from "./main.ts";
import { version } from "./version.ts";

/** `ponte selftest`: knows nothing of the configuration. Exit status 0 only if all is well. */
export const selftest: Command = async (words) => {
  const { calls, seconds, rounds, codec, json, verbose } = readWords(words);
  const log = createLog({ level: verbose ? "info" : "error", pretty: false, redact: { phoneNumbers: "masked" } });
  const report = await runSelftest({ log, version, calls, seconds, rounds, codec });
  console.log(json ? JSON.stringify(report, null, 2) : tableOf(report));
  return report.ok ? 0 : 1;
};

function readWords(words: readonly string[]) {
  const options = {
    calls: { type: "string", default: "1" },
    seconds: { type: "string", default: "2" },
    rounds: { type: "string", default: "1" },
    codec: { type: "string", default: "PCMU" },
    json: { type: "boolean", default: false },
    verbose: { type: "boolean", default: false },
  } as const;
  try {
    const { values } = parseArgs({ args: [...words], options });
    const { json, verbose } = values;
    return {
      calls: whole("calls", values.calls, 200),
      seconds: whole("seconds", values.seconds, 3_600),
      rounds: whole("rounds", values.rounds, 1_000),
      codec: codecOf(values.codec),
      json,
      verbose,
    };
  } catch (cause) {
    if (cause instanceof PonteError) throw cause;
    throw new PonteError("bad_option", cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function whole(name: string, text: string, most: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  throw new PonteError("bad_option", `--${name} takes a whole number from 1 to ${most}, not ${text}.`);
}

function codecOf(text: string): "opus" | "PCMU" | "PCMA" {
  if (text === "opus" || text === "PCMU" || text === "PCMA") return text;
  throw new PonteError("bad_option", `--codec takes opus, PCMU or PCMA, not ${text}.`);
}

/** The middle and the worst of a figure over the calls. */
function figure(calls: readonly CallReport[], of: (call: CallReport) => number | undefined, unit = "ms"): string {
  const values = calls.flatMap((call) => of(call) ?? []).toSorted((x, y) => x - y);
  const middle = values[Math.floor(values.length / 2)];
  const worst = values.at(-1);
  if (middle === undefined || worst === undefined) return "–";
  return values.length === 1
    ? `${middle.toFixed(0)} ${unit}`
    : `${middle.toFixed(0)} ${unit} (at most ${worst.toFixed(0)})`;
}

/** Of the call that sounded worst. */
function toneText(calls: readonly CallReport[]): string {
  const worst = calls.toSorted((x, y) => (x.tone?.snrDb ?? -90) - (y.tone?.snrDb ?? -90))[0]?.tone;
  return worst === undefined ? "nothing heard" : `${worst.hz} Hz, ${worst.snrDb.toFixed(0)} dB above the rest`;
}

function longestGap(calls: readonly CallReport[]): string {
  const worst = Math.max(...calls.flatMap((call) => call.tone?.longestGapMs ?? []));
  return Number.isFinite(worst) ? `${worst} ms` : "nothing heard";
}

/** Figures are those of the calls that were asked for; the one before them only tells how the PBX's tone sounds. */
export function tableOf({ ok, toneCall, calls, leftOver, violations }: SelftestReport): string {
  const digits = calls.filter((call) => call.digitsHeard === call.digitsSent).length;
  const all = [toneCall, ...calls];
  const sum = (of: (call: CallReport) => number): number => all.reduce((total, call) => total + of(call), 0);
  const [stretches, bad] = [sum((call) => call.stretches), sum((call) => call.badStretches)];
  const rows: readonly (readonly [string, string])[] = [
    ["calls", `${calls.length}`],
    ["webhook → pre_accept", figure(calls, (call) => call.webhookToPreAcceptMs)],
    ["ICE + DTLS", figure(calls, (call) => call.iceAndDtlsMs)],
    ["PBX answer", figure(calls, (call) => call.pbxAnswerMs)],
    ["webhook → first audio", figure(calls, (call) => call.webhookToFirstAudioMs)],
    ["round-trip audio delay", figure(calls, (call) => call.roundTripMs)],
    ["tone PBX → caller", toneText([toneCall])],
    ["tone caller → PBX → caller", toneText(calls)],
    ["longest gap", `${longestGap([toneCall])} from the PBX, ${longestGap(calls)} there and back`],
    ["stretches with a fault", `${bad} of ${stretches}`],
    ["digits heard", `${digits} of ${calls.length} calls${calls.length === 1 ? ` (${calls[0]?.digitsHeard})` : ""}`],
    ["loss", figure(calls, (call) => call.lossRatio * 100, "%")],
  ];
  const problems = [
    ...all.flatMap((call) => call.problems.map((problem) => `call to ${call.number}: ${problem}`)),
    ...leftOver.map((what) => `left over: ${what}`),
    ...violations.map((what) => `Meta's rule broken: ${what}`),
  ];
  const lines = rows.map(([name, value]) => `${name.padEnd(28)} ${value}`);
  return [...lines, ...problems, ok ? "all is well" : "NOT well"].join("\n");
}
