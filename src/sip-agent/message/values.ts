/** Parameters of a header value or URI: names in lower case; a flag such as `lr` has the value "". */
export type Params = ReadonlyMap<string, string>;

/** `"Alice" <sip:alice@host>;tag=1`, or `sip:alice@host;tag=1` (RFC 3261 §20.10). */
export type NameAddr = { readonly display: string; readonly uri: string; readonly params: Params };

export type Via = {
  /** Upper case: `UDP`, `TCP`. */
  readonly transport: string;
  /** Without brackets, as written. */
  readonly host: string;
  readonly port: number | undefined;
  readonly params: Params;
};

export type CSeq = { readonly number: number; readonly method: string };

/** RFC 3261 §8.1.1.5: less than 2³¹. */
export const MAX_CSEQ = 0x7fff_ffff;

/** The index of the next one of `stops` outside quotes and angle brackets, or the length of the text. */
function scan(text: string, from: number, stops: string): number {
  let quoted = false;
  let angled = false;
  for (let i = from; i < text.length; i++) {
    const char = text.charAt(i);
    if (quoted) {
      if (char === "\\") i++;
      else if (char === '"') quoted = false;
    } else if (!angled && stops.includes(char)) return i;
    else if (char === '"') quoted = true;
    else if (char === "<") angled = true;
    else if (char === ">") angled = false;
  }
  return text.length;
}

/** Splits `a, "b,c" <d,e>, f` into three. Empty elements are left out. */
export function splitList(value: string): string[] {
  const parts: string[] = [];
  for (let from = 0; from <= value.length; ) {
    const end = scan(value, from, ",");
    const part = value.slice(from, end).trim();
    if (part !== "") parts.push(part);
    from = end + 1;
  }
  return parts;
}

/** Reads `;a=b;c;d="e;f"`. The first of two parameters with the same name counts. */
export function parseParams(text: string): Params {
  const params = new Map<string, string>();
  for (let from = 0; from < text.length; ) {
    const end = scan(text, from, ";");
    const part = text.slice(from, end);
    from = end + 1;
    const equals = part.indexOf("=");
    const name = (equals === -1 ? part : part.slice(0, equals)).trim().toLowerCase();
    if (name !== "" && !params.has(name)) params.set(name, equals === -1 ? "" : part.slice(equals + 1).trim());
  }
  return params;
}

export function parseNameAddr(value: string): NameAddr | undefined {
  const open = scan(value, 0, "<");
  if (open < value.length) {
    const close = value.indexOf(">", open);
    if (close === -1) return undefined;
    const uri = value.slice(open + 1, close).trim();
    const params = parseParams(value.slice(close + 1));
    return uri === "" ? undefined : { display: value.slice(0, open).trim(), uri, params };
  }
  // Without brackets, parameters belong to the header, not to the URI (RFC 3261 §20).
  const end = scan(value, 0, ";");
  const uri = value.slice(0, end).trim();
  return uri === "" || /\s/.test(uri) ? undefined : { display: "", uri, params: parseParams(value.slice(end + 1)) };
}

export function tagOf(value: string | undefined): string | undefined {
  const tag = value === undefined ? undefined : parseNameAddr(value)?.params.get("tag");
  return tag === "" ? undefined : tag;
}

/** `SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bK…` (RFC 3261 §20.42); spaces around `/` and `:` are allowed. */
export function parseVia(value: string): Via | undefined {
  const match =
    /^\s*SIP\s*\/\s*2\.0\s*\/\s*([A-Za-z0-9-]{1,16})\s+(\[[0-9A-Fa-f:.%]{2,64}\]|[^\s;:,]{1,255})\s*(?::\s*(\d{1,5}))?\s*(?:;|$)/i.exec(
      value,
    );
  const [, transport, host, port] = match ?? [];
  if (match === null || transport === undefined || host === undefined) return undefined;
  if (port !== undefined && Number(port) > 65_535) return undefined;
  return {
    transport: transport.toUpperCase(),
    host: host.replace(/^\[|\]$/g, ""),
    port: port === undefined ? undefined : Number(port),
    params: parseParams(value.slice(match[0].length)),
  };
}

export function parseCSeq(value: string | undefined): CSeq | undefined {
  const [, digits, method] = /^\s*(\d{1,10})\s+([^\s]{1,32})\s*$/.exec(value ?? "") ?? [];
  if (digits === undefined || method === undefined || Number(digits) > MAX_CSEQ) return undefined;
  return { number: Number(digits), method };
}

/** Seconds at the start of a value such as `1800;refresher=uac`. */
export function parseSeconds(value: string | undefined): number | undefined {
  const [, digits] = /^\s*(\d{1,10})\s*(?:;|$)/.exec(value ?? "") ?? [];
  return digits === undefined ? undefined : Number(digits);
}
