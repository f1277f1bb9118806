import type { SipRequest, SipResponse } from "#sip-agent/message/message.ts";
import { formatHostPort } from "#sip-agent/message/uri.ts";
import { parseCSeq, parseVia, tagOf } from "#sip-agent/message/values.ts";

export const MAGIC_COOKIE = "z9hG4bK";

/**
 * The key of the server transaction that a request belongs to (RFC 3261 §17.2.3). `method` is the request's own, or INVITE
 * to find the transaction that an ACK or CANCEL speaks of. Without the magic cookie (RFC 2543 peers) the whole identity
 * of the request takes the place of the branch.
 */
export function serverKey(request: SipRequest, method: string = request.method): string {
  const { headers } = request;
  const top = headers.list("Via")[0] ?? "";
  const via = parseVia(top);
  const branch = via?.params.get("branch") ?? "";
  const of = method === "ACK" ? "INVITE" : method;
  if (branch.startsWith(MAGIC_COOKIE)) {
    return `${branch}|${formatHostPort(via?.host.toLowerCase() ?? "", via?.port ?? 5060)}|${of}`;
  }
  const number = parseCSeq(headers.get("CSeq"))?.number ?? 0;
  const identity = [
    request.uri,
    headers.get("Call-ID"),
    tagOf(headers.get("From")),
    number,
    via?.host,
    via?.port,
    branch,
  ];
  return `rfc2543|${JSON.stringify(identity)}|${of}`;
}

export function clientKey(message: SipRequest | SipResponse): string {
  const branch = parseVia(message.headers.list("Via")[0] ?? "")?.params.get("branch") ?? "";
  return `${branch}|${parseCSeq(message.headers.get("CSeq"))?.method ?? ""}`;
}
