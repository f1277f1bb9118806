import { Headers } from "#sip-agent/message/headers.ts";
import type { SipMessage } from "#sip-agent/message/message.ts";
import { breaksLine } from "#sip-agent/message/serialize.ts";

export type SketchResult =
  | { readonly ok: true; readonly sketch: SipMessage; readonly dropped: readonly string[] }
  | { readonly ok: false; readonly reason: string };

const HEAD_END = Buffer.from("\r\n\r\n");
const NAME = /^[A-Za-z0-9_-]{1,64}$/;
/** Headers that only the agent writes; from a client they are dropped without a word. */
const IGNORED = new Set(["via", "route", "record-route", "rseq", "content-length"]);

/**
 * Reads the SIP text of a client: a start line, the headers it cares about, a body that ends where the frame ends. Lines end
 * in CRLF and nothing else; a lone CR, LF or NUL is an attempt to smuggle a header, and refused.
 */
export function parseSketch(text: Buffer, maxHeaders: number): SketchResult {
  const end = text.indexOf(HEAD_END);
  const head = text.toString("utf8", 0, end === -1 ? text.length : end);
  const body = end === -1 ? Buffer.alloc(0) : text.subarray(end + 4);
  const [first = "", ...lines] = head.split("\r\n");
  if (lines.length > maxHeaders) return { ok: false, reason: "too many headers" };
  if (breaksLine(first) || lines.some(breaksLine)) return { ok: false, reason: "line break or NUL inside a header" };

  const headers = new Headers();
  const dropped: string[] = [];
  for (const line of lines) {
    if (line === "") continue;
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0)).trim();
    const value = line.slice(colon + 1).trim();
    if (colon === -1 || !NAME.test(name)) dropped.push(name);
    else if (!IGNORED.has(name.toLowerCase()) && value !== "") headers.add(name, value);
  }
  const sketch = readStart(first, headers, body);
  return sketch === undefined ? { ok: false, reason: `invalid start line: ${first}` } : { ok: true, sketch, dropped };
}

function readStart(line: string, headers: Headers, body: Buffer): SipMessage | undefined {
  const [, status, reason] = /^SIP\/2\.0 +([1-6]\d\d)(?: +(.*))?$/.exec(line) ?? [];
  if (status !== undefined) return { kind: "response", status: Number(status), reason: reason ?? "", headers, body };
  const [, method, uri] = /^([A-Z][A-Z0-9.!%*_+`'~-]{0,31}) +(\S{1,2048}) +SIP\/2\.0$/.exec(line) ?? [];
  if (method === undefined || uri === undefined) return undefined;
  return { kind: "request", method, uri, headers, body };
}
