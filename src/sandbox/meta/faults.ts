import type { TransportFault } from "#sandbox/faults.ts";
import { type GraphError, type GraphErrorCode, graphErrors } from "./errors.ts";

/** What shall go wrong with a request (G34). */
export type Fault =
  /** Refused with this error; nothing happens to the call. */
  { readonly kind: "error"; readonly error: GraphErrorCode | GraphError; readonly details?: string } | TransportFault;

export function errorOf(fault: Extract<Fault, { kind: "error" }>): GraphError {
  return typeof fault.error === "number" ? graphErrors[fault.error] : fault.error;
}
