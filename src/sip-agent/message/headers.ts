import { splitList } from "./values.ts";

/** One header line; `key` is the lower-case long name, `name` the spelling for the wire. */
type Line = { readonly key: string; readonly name: string; readonly value: string };

/** Compact forms: RFC 3261 §7.3.3 and §20, RFC 3515, RFC 3892, RFC 4028, RFC 3841, RFC 6665. */
const COMPACT: Readonly<Record<string, string>> = {
  a: "accept-contact",
  b: "referred-by",
  c: "content-type",
  d: "request-disposition",
  e: "content-encoding",
  f: "from",
  i: "call-id",
  j: "reject-contact",
  k: "supported",
  l: "content-length",
  m: "contact",
  o: "event",
  r: "refer-to",
  s: "subject",
  t: "to",
  u: "allow-events",
  v: "via",
  x: "session-expires",
};

/** Usual spellings. Names that are not here keep the spelling they came with. */
const SPELLING = new Map(
  [
    "Accept Accept-Contact Accept-Encoding Accept-Language Alert-Info Allow Allow-Events Authentication-Info",
    "Authorization Call-ID Call-Info Contact Content-Disposition Content-Encoding Content-Language Content-Length",
    "Content-Type CSeq Date Diversion Error-Info Event Expires From History-Info Identity In-Reply-To Join Max-Forwards",
    "MIME-Version Min-Expires Min-SE Organization P-Access-Network-Info P-Asserted-Identity P-Called-Party-ID",
    "P-Charging-Vector P-Preferred-Identity Path Priority Privacy Proxy-Authenticate Proxy-Authorization Proxy-Require",
    "RAck Reason Record-Route Refer-Sub Refer-To Referred-By Reject-Contact Remote-Party-ID Replaces Reply-To",
    "Request-Disposition Require Retry-After Route RSeq Server Service-Route Session-Expires SIP-ETag SIP-If-Match",
    "Subject Subscription-State Supported Timestamp To Unsupported User-Agent Via Warning WWW-Authenticate",
  ]
    .join(" ")
    .split(" ")
    .map((name) => [name.toLowerCase(), name]),
);

function keyOf(name: string): string {
  const lower = name.toLowerCase();
  return COMPACT[lower] ?? lower;
}

/**
 * The headers of one message, in order. Names are compared without case and in their long form.
 * The order of lines with the same name is kept, because it matters (Via, Route, Record-Route).
 */
export class Headers {
  #lines: Line[] = [];

  static from(entries: Iterable<readonly [string, string]>): Headers {
    const headers = new Headers();
    for (const [name, value] of entries) headers.add(name, value);
    return headers;
  }

  get size(): number {
    return this.#lines.length;
  }

  /** The first line of that name. */
  get(name: string): string | undefined {
    const key = keyOf(name);
    return this.#lines.find((line) => line.key === key)?.value;
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** Every line of that name, as written. */
  all(name: string): string[] {
    const key = keyOf(name);
    return this.#lines.filter((line) => line.key === key).map((line) => line.value);
  }

  /** Every value of that name, lines split at their commas (RFC 3261 §7.3.1). */
  list(name: string): string[] {
    return this.all(name).flatMap(splitList);
  }

  /** True if a comma separated list of tokens (Require, Supported, Allow) has this one. */
  mentions(name: string, token: string): boolean {
    return this.list(name).some((value) => value.trim().toLowerCase() === token);
  }

  add(name: string, value: string): this {
    const key = keyOf(name);
    this.#lines.push({ key, name: SPELLING.get(key) ?? name, value });
    return this;
  }

  /** Puts one line in place of all lines of that name, where the first of them was. */
  set(name: string, value: string): this {
    return this.setAll(name, [value]);
  }

  setAll(name: string, values: readonly string[]): this {
    const key = keyOf(name);
    const at = this.#lines.findIndex((line) => line.key === key);
    const spelling = SPELLING.get(key) ?? name;
    const lines = values.map((value) => ({ key, name: spelling, value }));
    this.#lines = this.#lines.filter((line) => line.key !== key);
    this.#lines.splice(at === -1 ? this.#lines.length : at, 0, ...lines);
    return this;
  }

  /** Puts a line before all others. */
  prepend(name: string, value: string): this {
    const key = keyOf(name);
    this.#lines.unshift({ key, name: SPELLING.get(key) ?? name, value });
    return this;
  }

  delete(name: string): this {
    const key = keyOf(name);
    this.#lines = this.#lines.filter((line) => line.key !== key);
    return this;
  }

  clone(): Headers {
    const copy = new Headers();
    copy.#lines = [...this.#lines];
    return copy;
  }

  *[Symbol.iterator](): Generator<readonly [name: string, value: string]> {
    for (const line of this.#lines) yield [line.name, line.value];
  }
}
