import type { Headers } from "./headers.ts";

export type SipRequest = {
  readonly kind: "request";
  readonly method: string;
  /** As written on the start line. */
  readonly uri: string;
  readonly headers: Headers;
  readonly body: Buffer;
};

export type SipResponse = {
  readonly kind: "response";
  /** 100 to 699. */
  readonly status: number;
  readonly reason: string;
  readonly headers: Headers;
  readonly body: Buffer;
};

export type SipMessage = SipRequest | SipResponse;

export const NO_BODY: Buffer = Buffer.alloc(0);

/** RFC 3261 §21 and the RFCs that added codes. The text is for people only. */
const REASONS: Readonly<Record<number, string>> = {
  100: "Trying",
  180: "Ringing",
  200: "OK",
  400: "Bad Request",
  408: "Request Timeout",
  413: "Request Entity Too Large",
  422: "Session Interval Too Small",
  480: "Temporarily Unavailable",
  481: "Call/Transaction Does Not Exist",
  482: "Loop Detected",
  487: "Request Terminated",
  491: "Request Pending",
  500: "Server Internal Error",
  501: "Not Implemented",
  503: "Service Unavailable",
  504: "Server Time-out",
  513: "Message Too Large",
};

export function reasonOf(status: number): string {
  return REASONS[status] ?? "Unknown";
}
