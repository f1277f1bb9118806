import { isIP, isIPv6 } from "node:net";
import { type Params, parseParams } from "./values.ts";

export type SipUri = {
  readonly scheme: "sip" | "sips";
  readonly user: string | undefined;
  /** Without brackets. */
  readonly host: string;
  readonly port: number | undefined;
  readonly params: Params;
};

/**
 *     sip:user:password@host:port;params?headers        (RFC 3261 §19.1.1)
 *
 * Whatever is not needed for routing (password, headers) is read over. `undefined` for other schemes and nonsense.
 */
export function parseUri(text: string): SipUri | undefined {
  const [, scheme, rest] = /^(sips?):(.+)$/i.exec(text.trim()) ?? [];
  if (scheme === undefined || rest === undefined) return undefined;
  // A user part may hold ";" and "?", so the "@" is looked for first.
  const at = rest.lastIndexOf("@");
  const user = at === -1 ? undefined : rest.slice(0, at).split(":")[0];
  const [, host, port, tail] =
    /^(\[[0-9A-Fa-f:.]{2,64}\]|[A-Za-z0-9._-]{1,255})(?::(\d{1,5}))?((?:;[^?\s]*)?)(?:\?\S*)?$/.exec(
      rest.slice(at + 1),
    ) ?? [];
  if (host === undefined || (port !== undefined && (Number(port) > 65_535 || Number(port) === 0))) return undefined;
  return {
    scheme: scheme.toLowerCase() === "sips" ? "sips" : "sip",
    user,
    host: host.replace(/^\[|\]$/g, ""),
    port: port === undefined ? undefined : Number(port),
    params: parseParams((tail ?? "").replace(/^;/, "")),
  };
}

/** Puts IPv6 literals in brackets, as URIs and Via want them. */
export function formatHost(host: string): string {
  return isIPv6(host) ? `[${host}]` : host;
}

export function formatHostPort(host: string, port: number): string {
  return `${formatHost(host)}:${port}`;
}

/**
 * One spelling per address: `::ffff:10.0.0.1`, as dual-stack sockets report IPv4 peers, becomes `10.0.0.1`; zone ids and
 * letter case go.
 */
export function normalizeAddress(address: string): string {
  const [, v4] = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i.exec(address) ?? [];
  return v4 ?? (isIP(address) === 6 ? (address.split("%")[0] ?? address).toLowerCase() : address);
}
