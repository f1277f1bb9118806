import { expect } from "vitest";
import type { ToneReport } from "#core/audio/tone.ts";
import type { UserCall } from "#sandbox/phone/user-call.ts";

/** Companding alone leaves about 38 dB; a call that sounds bad to anybody is far below this. */
const LEAST_SNR_DB = 15;
/** A person notices a longer hole. */
const LONGEST_GAP_MS = 60;
/** Transcoding and companding move no tone by more than the detector's own resolution. */
const HZ_TOLERANCE = 3;
/** What the last packets of a tone that has ended, and the network's delay, may take. */
const SETTLE_MS = 300;
/** A stall of the whole machine spoils a window, not the call: the best of so many windows counts. */
const WINDOWS = 4;

/** Whoever hears the call's audio: a simulated user, or a browser. */
export interface Listener {
  listen(ms: number, expectedHz?: number): Promise<ToneReport>;
}

export interface Hearing {
  /** Length of a window, milliseconds. */
  readonly ms?: number;
  readonly windows?: number;
}

/**
 * Asserts that a tone is heard without a hole. Listens to one window after the other until one is good, because what is
 * tested is ponte and not the machine that all these processes share; a fault of ponte's would be in every window.
 */
export async function expectTone(
  call: Listener,
  hz: number,
  { ms = 1_000, windows = WINDOWS }: Hearing = {},
): Promise<void> {
  await call.listen(SETTLE_MS);
  const heard: ToneReport[] = [];
  while (heard.length < windows) {
    const report = await call.listen(ms, hz);
    if (isGood(report, hz, ms)) return;
    heard.push(report);
  }
  expect(heard, `${hz} Hz for ${ms} ms without a hole in one of ${windows} windows`).toBe("heard");
}

function isGood(report: ToneReport, hz: number, ms: number): boolean {
  return (
    Math.abs(report.hz - hz) <= HZ_TOLERANCE &&
    report.snrDb > LEAST_SNR_DB &&
    report.longestGapMs <= LONGEST_GAP_MS &&
    report.heardMs >= ms * 0.9
  );
}

/** Says a tone and hears it come back. */
export async function expectEcho(call: UserCall, hz: number, hearing: Hearing = {}): Promise<void> {
  call.sendTone(hz);
  await expectTone(call, hz, hearing);
  call.silence();
}
