import { Headers } from "./headers.ts";
import type { SipMessage, SipRequest } from "./message.ts";
import { breaksLine } from "./serialize.ts";
import { parseCSeq, parseNameAddr, parseVia, tagOf } from "./values.ts";

export type ParseLimits = {
  /** Longest message, bytes. */
  readonly maxMessageBytes: number;
  /** Most header lines in one message. */
  readonly maxHeaders: number;
};

export type ParseResult =
  | { readonly ok: true; readonly message: SipMessage }
  /** `answerable` is a broken request that still says enough to be answered 400. */
  | { readonly ok: false; readonly reason: string; readonly answerable?: SipRequest };

const TOKEN = /^[A-Za-z0-9.!%*_+`'~-]{1,64}$/;
const HEAD_END = Buffer.from("\r\n\r\n");

/**
 * Reads one SIP message that fills `bytes` (a datagram, or a piece cut out of a stream).
 *
 *     start line CRLF *( name ":" value CRLF ) CRLF body
 *
 * It is tolerant in what costs nothing (bare LF, folded lines, compact and unknown headers, spaces) and strict in what
 * transactions and dialogs stand on: the start line, Via, From, To, Call-ID, CSeq, Content-Length. It never throws.
 */
export function parseMessage(bytes: Buffer, limits: ParseLimits): ParseResult {
  if (bytes.length > limits.maxMessageBytes) return { ok: false, reason: "message too large" };
  const start = skipLineEnds(bytes);
  const { headEnd, bodyStart } = findBody(bytes, start);
  const lines = unfold(bytes.toString("utf8", start, headEnd));
  const first = lines.shift() ?? "";
  if (lines.length > limits.maxHeaders) return { ok: false, reason: "too many headers" };

  const { headers, broken } = readHeaders(lines);
  const message = readStartLine(first, headers, bytes.subarray(bodyStart));
  if (message === undefined) return { ok: false, reason: "not a SIP start line" };
  const fault = broken ?? faultOf(message);
  if (fault === undefined) return withBody(message);
  return refuse(fault, message);
}

function refuse(reason: string, message: SipMessage): ParseResult {
  const answerable =
    message.kind === "request" &&
    message.method !== "ACK" &&
    ["Via", "From", "To", "Call-ID", "CSeq"].every((name) => message.headers.has(name)) &&
    parseVia(message.headers.list("Via")[0] ?? "") !== undefined;
  return answerable ? { ok: false, reason, answerable: message } : { ok: false, reason };
}

/** RFC 3261 §7.5: line ends before the start line are ignored; they are also keep-alives. */
function skipLineEnds(bytes: Buffer): number {
  let at = 0;
  while (bytes[at] === 13 || bytes[at] === 10) at++;
  return at;
}

function findBody(bytes: Buffer, from: number): { headEnd: number; bodyStart: number } {
  const crlf = bytes.indexOf(HEAD_END, from);
  const lf = bytes.indexOf("\n\n", from);
  if (lf !== -1 && (crlf === -1 || lf < crlf)) return { headEnd: lf, bodyStart: lf + 2 };
  return crlf === -1 ? { headEnd: bytes.length, bodyStart: bytes.length } : { headEnd: crlf, bodyStart: crlf + 4 };
}

/** Splits into lines; a line that begins with a space or tab continues the one before (RFC 3261 §7.3.1). */
function unfold(head: string): string[] {
  const lines: string[] = [];
  for (const line of head.split(/\r?\n/)) {
    const last = lines.length - 1;
    if (last > 0 && (line.startsWith(" ") || line.startsWith("\t"))) lines[last] = `${lines[last]} ${line.trim()}`;
    else lines.push(line);
  }
  while (lines.length > 1 && lines.at(-1) === "") lines.pop();
  return lines;
}

function readHeaders(lines: readonly string[]): { headers: Headers; broken: string | undefined } {
  const headers = new Headers();
  let broken: string | undefined;
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0)).trim();
    const value = line.slice(colon + 1).trim();
    if (colon === -1 || !TOKEN.test(name) || breaksLine(value)) broken ??= "broken header line";
    else headers.add(name, value);
  }
  return { headers, broken };
}

function readStartLine(line: string, headers: Headers, body: Buffer): SipMessage | undefined {
  const [, code, reason] = /^SIP\/2\.0 +([1-6]\d\d)(?: (.*))?$/i.exec(line) ?? [];
  if (code !== undefined)
    return { kind: "response", status: Number(code), reason: (reason ?? "").trim(), headers, body };
  const [, method, uri] = /^([^\s]{1,64}) +([^\s]{1,2048}) +SIP\/2\.0\s*$/i.exec(line) ?? [];
  if (method === undefined || uri === undefined || !TOKEN.test(method)) return undefined;
  return { kind: "request", method, uri, headers, body };
}

/** What makes the message useless for transactions and dialogs, in words. */
function faultOf(message: SipMessage): string | undefined {
  const { headers } = message;
  for (const name of ["From", "To", "Call-ID", "CSeq"]) {
    const values = headers.all(name);
    if (values.length === 0) return `missing ${name}`;
    if (values.length > 1) return `repeated ${name}`;
  }
  if (headers.list("Via").some((via) => parseVia(via) === undefined) || !headers.has("Via")) return "invalid Via";
  if (parseNameAddr(headers.get("From") ?? "") === undefined) return "invalid From";
  if (parseNameAddr(headers.get("To") ?? "") === undefined) return "invalid To";
  // No grammar allows "|" there, and the control protocol could not carry it.
  if (!/^[^\s|]{1,256}$/.test(headers.get("Call-ID") ?? "")) return "invalid Call-ID";
  if (tagOf(headers.get("From"))?.includes("|")) return "invalid From";
  const cseq = parseCSeq(headers.get("CSeq"));
  if (cseq === undefined) return "invalid CSeq";
  if (message.kind === "request" && cseq.method !== message.method) return "CSeq does not match the method";
  return undefined;
}

/** RFC 3261 §18.3: what follows Content-Length is dropped, a body shorter than it is an error. */
function withBody(message: SipMessage): ParseResult {
  const stated = message.headers.all("Content-Length");
  if (stated.length === 0) return { ok: true, message };
  const length = Number(stated[0]);
  if (stated.length > 1 || !/^\d{1,9}$/.test(stated[0] ?? "")) return refuse("invalid Content-Length", message);
  if (length > message.body.length) return refuse("body shorter than Content-Length", message);
  return { ok: true, message: { ...message, body: message.body.subarray(0, length) } };
}
