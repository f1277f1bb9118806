/** A digit that came by INFO. */
export interface InfoDigit {
  readonly digit: string;
  readonly durationMs: number;
}

/** `application/dtmf` carries no duration; this is what a key press usually lasts. */
const USUAL_DURATION_MS = 160;

/** Longer is a stuck key or nonsense. */
const MAX_DURATION_MS = 5_000;

/** 0 to 15 are the events of RFC 4733 §3.2. */
const events = "0123456789*#ABCD";

/**
 * `application/dtmf-relay` (`Signal=5`, `Duration=160`, one per line) and `application/dtmf` (the digit alone). Both are
 * vendors' custom, never standardised; some peers write the digit as its RFC 4733 event number.
 */
export function parseInfoDigit(contentType: string, body: string): InfoDigit | undefined {
  if (contentType === "application/dtmf") return named(body.trim(), USUAL_DURATION_MS);
  if (contentType !== "application/dtmf-relay") return undefined;
  const signal = /^\s*signal\s*=\s*(\S+)\s*$/im.exec(body)?.[1];
  const duration = Number(/^\s*duration\s*=\s*(\d{1,6})\s*$/im.exec(body)?.[1] ?? USUAL_DURATION_MS);
  return signal === undefined ? undefined : named(signal, Math.min(duration, MAX_DURATION_MS));
}

function named(signal: string, durationMs: number): InfoDigit | undefined {
  const number = /^1[0-5]$/.test(signal) ? events[Number(signal)] : undefined;
  const digit = number ?? signal.toUpperCase();
  return digit.length === 1 && events.includes(digit) ? { digit, durationMs } : undefined;
}
