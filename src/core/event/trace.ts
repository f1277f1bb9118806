import type { TraceId } from "./event.ts";

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?$/;
const NOTHING = /^0+$/;

/**
 * The trace id of a `traceparent` header (W3C Trace Context §3.2): `00-<trace id>-<parent id>-<flags>`. Undefined when it is
 * not a valid one; a new trace then begins. Later versions may have more fields, version ff is forbidden.
 */
export function traceIdOf(traceparent: string | undefined): TraceId | undefined {
  const [, trace, parent] = TRACEPARENT.exec(traceparent ?? "") ?? [];
  if (trace === undefined || parent === undefined || NOTHING.test(trace) || NOTHING.test(parent)) return undefined;
  return trace;
}

/** @param random 16 random bytes. */
export function traceId(random: Uint8Array): TraceId {
  if (random.length < 16) throw new RangeError("traceId needs 16 random bytes");
  return Array.from(random.subarray(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
