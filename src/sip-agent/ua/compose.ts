import type { Dialog } from "#sip-agent/dialog/dialog.ts";
import { routed } from "#sip-agent/dialog/route-set.ts";
import { Headers } from "#sip-agent/message/headers.ts";
import { NO_BODY, type SipMessage, type SipRequest, type SipResponse } from "#sip-agent/message/message.ts";
import { formatHostPort } from "#sip-agent/message/uri.ts";
import { MAX_CSEQ, parseCSeq, parseNameAddr, tagOf } from "#sip-agent/message/values.ts";
import { type Random, randomHex, randomUuid } from "#sip-agent/ports.ts";
import { MAGIC_COOKIE } from "#sip-agent/transaction/keys.ts";
import { responseTo } from "#sip-agent/transaction/layer.ts";
import type { Flow } from "#sip-agent/transport/listener.ts";

/** The Request-URI that a client writes when it means "wherever the dialog leads". */
export const PLACEHOLDER = "sip:placeholder";

/** The ACK of a 2xx that the application has nothing to say about. */
export const BARE_ACK: SipRequest = {
  kind: "request",
  method: "ACK",
  uri: PLACEHOLDER,
  headers: new Headers(),
  body: NO_BODY,
};

/** Headers that the agent writes by itself, whatever the application's sketch says. */
const OURS = [
  "Via",
  "From",
  "To",
  "Call-ID",
  "CSeq",
  "Max-Forwards",
  "Content-Length",
  "Route",
  "Record-Route",
  "RSeq",
];

export function viaFor(flow: Flow, branch: string): string {
  const { host, port } = flow.listener.advertised(flow.remote.host);
  // RFC 3581: the peer answers to the address it sees.
  return `SIP/2.0/${flow.listener.protocol.toUpperCase()} ${formatHostPort(host, port)};rport;branch=${branch}`;
}

export function newBranch(random: Random): string {
  return `${MAGIC_COOKIE}${randomHex(random, 12)}`;
}

export function newTag(random: Random): string {
  return randomHex(random, 8);
}

/** A first sequence number with room to grow (RFC 3261 §8.1.1.5). */
export function newSequence(random: Random): number {
  const [a = 0, b = 0] = random(2);
  return a * 256 + b + 1;
}

export function contactFor(flow: Flow): string {
  const { host, port } = flow.listener.advertised(flow.remote.host);
  return `<sip:${formatHostPort(host, port)}${flow.listener.protocol === "tcp" ? ";transport=tcp" : ""}>`;
}

/** Puts our address where the application wrote `@localhost` without a port (RFC-less custom of the control protocol). */
export function localize(value: string, flow: Flow): string {
  const { host, port } = flow.listener.advertised(flow.remote.host);
  return value.replace(/@localhost(?![\w.:-])/gi, `@${formatHostPort(host, port)}`);
}

/** A name-addr with brackets and without a tag, so that parameters can follow. */
function bracketed(value: string): string {
  const parsed = parseNameAddr(value);
  if (parsed === undefined) return value;
  const params = [...parsed.params].filter(([name]) => name !== "tag");
  const display = parsed.display === "" ? "" : `${parsed.display} `;
  return `${display}<${parsed.uri}>${params.map(([name, text]) => (text === "" ? `;${name}` : `;${name}=${text}`)).join("")}`;
}

function contactOf(sketch: string | undefined, flow: Flow): string {
  if (sketch === undefined) return contactFor(flow);
  if (!/localhost/i.test(sketch)) return sketch;
  const parsed = parseNameAddr(localize(sketch, flow));
  if (parsed === undefined) return contactFor(flow);
  const { host, port } = flow.listener.advertised(flow.remote.host);
  const uri = parsed.uri.replace(/^(sips?):localhost(?![\w.:-])/i, `$1:${formatHostPort(host, port)}`);
  // Without the parameter the peer would answer our TCP call with UDP requests.
  const transport = flow.listener.protocol === "tcp" && !/;transport=/i.test(uri) ? ";transport=tcp" : "";
  return `<${uri}${transport}>`;
}

/** Copies the application's own headers, `@localhost` resolved. */
function addSketched(headers: Headers, sketch: SipMessage, flow: Flow): void {
  for (const [name, value] of sketch.headers) {
    if (OURS.includes(name) || name === "Contact") continue;
    headers.add(name, name === "P-Asserted-Identity" ? localize(value, flow) : value);
  }
  if (!headers.has("Content-Type") && sketch.body.subarray(0, 3).toString() === "v=0") {
    headers.add("Content-Type", "application/sdp");
  }
}

/** A request outside any dialog, complete. */
export function newRequest(sketch: SipRequest, flow: Flow, random: Random): SipRequest {
  const given = sketch.headers;
  const from = localize(given.get("From") ?? contactFor(flow).replace(";transport=tcp", ""), flow);
  const { host, port } = flow.listener.advertised(flow.remote.host);
  const fromLine = bracketed(from).replace(/<(sips?):localhost(?![\w.:-])/i, `<$1:${formatHostPort(host, port)}`);
  const to = localize(given.get("To") ?? `<${sketch.uri}>`, flow);
  const sequence = parseCSeq(given.get("CSeq"))?.number ?? newSequence(random);
  const headers = new Headers()
    .add("Via", viaFor(flow, newBranch(random)))
    .add("Max-Forwards", given.get("Max-Forwards") ?? "70")
    .add("From", `${fromLine};tag=${tagOf(given.get("From")) ?? newTag(random)}`)
    .add("To", to.includes("<") ? to : bracketed(to))
    .add("Call-ID", given.get("Call-ID") ?? randomUuid(random))
    .add("CSeq", `${sequence} ${sketch.method}`);
  const wantsContact = sketch.method === "INVITE" || sketch.method === "SUBSCRIBE";
  if (given.has("Contact")) for (const value of given.list("Contact")) headers.add("Contact", contactOf(value, flow));
  else if (wantsContact) headers.add("Contact", contactFor(flow));
  addSketched(headers, sketch, flow);
  return { ...sketch, headers };
}

/** A request inside a dialog (RFC 3261 §12.2.1.1). `sequence` is its CSeq number. */
export function dialogRequest(
  dialog: Dialog,
  sketch: SipRequest,
  flow: Flow,
  sequence: number,
  random: Random,
): SipRequest {
  const target = dialogTarget(dialog, sketch);
  const { requestUri, routes } = routed(target, dialog.routeSet);
  const headers = new Headers().add("Via", viaFor(flow, newBranch(random))).add("Max-Forwards", "70");
  for (const route of routes) headers.add("Route", route);
  headers
    .add("From", dialog.facts.local)
    .add("To", dialog.facts.remote)
    .add("Call-ID", dialog.facts.callId)
    .add("CSeq", `${Math.min(sequence, MAX_CSEQ)} ${sketch.method}`);
  const contact = sketch.headers.get("Contact");
  if (contact !== undefined) headers.add("Contact", contactOf(contact, flow));
  else if (["INVITE", "SUBSCRIBE", "REFER", "UPDATE", "NOTIFY"].includes(sketch.method)) {
    headers.add("Contact", dialog.contact);
  }
  addSketched(headers, sketch, flow);
  return { ...sketch, uri: requestUri, headers };
}

/** Where an application's in-dialog request is addressed to: its own URI, or the peer's Contact. */
export function dialogTarget(dialog: Dialog, sketch: SipRequest): string {
  const own = sketch.uri !== PLACEHOLDER && sketch.method !== "ACK" && sketch.method !== "PRACK";
  return own ? sketch.uri : dialog.remoteTarget;
}

/** The answer to a request, from the application's sketch. */
export function response(
  request: SipRequest,
  sketch: SipResponse,
  flow: Flow,
  options: { readonly toTag: string | undefined; readonly contact: string | undefined },
): SipResponse {
  const answer = responseTo(request, sketch.status, sketch.reason);
  const { headers } = answer;
  const to = request.headers.get("To") ?? "";
  if (options.toTag !== undefined && tagOf(to) === undefined) headers.set("To", `${to};tag=${options.toTag}`);
  // RFC 3261 §12.1.1: what forms a dialog carries the whole route back.
  if (sketch.status > 100 && sketch.status < 300) {
    for (const route of request.headers.all("Record-Route")) headers.add("Record-Route", route);
  }
  if (sketch.headers.has("Contact")) {
    for (const value of sketch.headers.list("Contact")) headers.add("Contact", contactOf(value, flow));
  } else if (options.contact !== undefined) headers.add("Contact", options.contact);
  addSketched(headers, sketch, flow);
  return { ...answer, body: sketch.body };
}

/** A response of our own, with the To tag that every response but 100 needs (RFC 3261 §8.2.6.2). */
export function taggedResponse(request: SipRequest, status: number, random: Random, tag?: string): SipResponse {
  const answer = responseTo(request, status);
  const to = answer.headers.get("To") ?? "";
  if (tagOf(to) === undefined) answer.headers.set("To", `${to};tag=${tag ?? newTag(random)}`);
  return answer;
}

/** The CANCEL of a request: same branch, target and number (RFC 3261 §9.1), plus the application's headers. */
export function cancelOf(request: SipRequest, extra: Headers): SipRequest {
  const headers = new Headers().add("Via", request.headers.list("Via")[0] ?? "").add("Max-Forwards", "70");
  for (const route of request.headers.all("Route")) headers.add("Route", route);
  for (const name of ["From", "To", "Call-ID"]) headers.add(name, request.headers.get(name) ?? "");
  headers.add("CSeq", `${parseCSeq(request.headers.get("CSeq"))?.number ?? 1} CANCEL`);
  for (const [name, value] of extra) {
    if (!OURS.includes(name) && name !== "Contact") headers.add(name, value);
  }
  return { kind: "request", method: "CANCEL", uri: request.uri, headers, body: NO_BODY };
}
