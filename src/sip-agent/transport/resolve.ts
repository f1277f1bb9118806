import { lookup, resolveSrv } from "node:dns/promises";
import { isIP } from "node:net";
import { normalizeAddress, parseUri, type SipUri } from "#sip-agent/message/uri.ts";
import type { Address, Protocol } from "./address.ts";
import type { Flow, Listener } from "./listener.ts";

/** Where a request goes, or why it cannot go there, in the words that the control protocol uses. */
export type Resolution =
  | { readonly ok: true; readonly flow: Flow }
  /** `intended`: the name is unknown, so there is no address; the application gets a 503 and not a refused command. */
  | { readonly ok: false; readonly reason: string; readonly intended?: Flow };

/** The parts of the transport layer and of DNS that finding a next hop needs; tests replace `dns`. */
export type ResolveContext = {
  readonly choose: (protocol: Protocol, remote: string) => Listener | undefined;
  readonly listeners: readonly Listener[];
  readonly dns: Dns;
};

type Service = { readonly name: string; readonly port: number };

export type Dns = {
  /** A and AAAA records, in the resolver's order. */
  readonly addresses: (host: string) => Promise<readonly string[]>;
  /** SRV records, best first. */
  readonly service: (name: string) => Promise<readonly Service[]>;
};

export const systemDns: Dns = {
  addresses: async (host) => (await lookup(host, { all: true })).map((record) => record.address),
  service: async (name) => {
    const records = await resolveSrv(name);
    // RFC 2782: lowest priority first; among equals the heaviest, which is the deterministic end of its lottery.
    return records.toSorted((a, b) => a.priority - b.priority || b.weight - a.weight);
  },
};

const DEFAULT_PORT = 5060;

/** The protocol that a URI asks for: its `transport` parameter, else UDP. `undefined` if we do not speak it. */
export function protocolOf(uri: SipUri): Protocol | undefined {
  const wanted = (uri.params.get("transport") ?? "udp").toLowerCase();
  if (uri.scheme === "sips" || (wanted !== "udp" && wanted !== "tcp")) return undefined;
  return wanted;
}

/**
 * Finds the next hop of a URI (RFC 3263 without NAPTR): a literal as it is, a name with port by A/AAAA, a name without port
 * by SRV and then A/AAAA. Literals are resolved at once, so that requests to them keep their order.
 */
export function resolve(uriText: string, context: ResolveContext): Resolution | Promise<Resolution> {
  const uri = parseUri(uriText);
  if (uri === undefined) return { ok: false, reason: `invalid request-uri: ${uriText}` };
  const protocol = protocolOf(uri);
  if (protocol === undefined || !context.listeners.some((listener) => listener.protocol === protocol)) {
    return { ok: false, reason: "requested protocol/transport not available" };
  }
  const literal = uri.params.get("maddr") ?? uri.host;
  if (isIP(literal) !== 0) return towards({ host: literal, port: uri.port ?? DEFAULT_PORT }, protocol, context);
  return resolveName(literal, uri.port, protocol, context);
}

function towards(address: Address, protocol: Protocol, context: ResolveContext): Resolution {
  const remote = { ...address, host: normalizeAddress(address.host) };
  const listener = context.choose(protocol, remote.host);
  if (listener === undefined) return { ok: false, reason: "requested protocol/transport not available" };
  return { ok: true, flow: { listener, remote } };
}

async function resolveName(
  name: string,
  port: number | undefined,
  protocol: Protocol,
  context: ResolveContext,
): Promise<Resolution> {
  const listener = context.listeners.find((one) => one.protocol === protocol);
  try {
    const service = port === undefined ? await serviceOf(name, protocol, context.dns) : undefined;
    const hosts = await context.dns.addresses(service?.name ?? name);
    // Of a name with addresses of both families, the first that one of our sockets can reach.
    const host = hosts.find((address) => context.choose(protocol, normalizeAddress(address)) !== undefined);
    if (host !== undefined) return towards({ host, port: service?.port ?? port ?? DEFAULT_PORT }, protocol, context);
  } catch {
    // No such name, or no name server: for the caller both are an unreachable host, answered below.
  }
  return {
    ok: false,
    reason: `cannot resolve ${name}`,
    ...(listener === undefined ? {} : { intended: { listener, remote: { host: listener.bound.host, port: 0 } } }),
  };
}

async function serviceOf(name: string, protocol: Protocol, dns: Dns): Promise<Service | undefined> {
  try {
    return (await dns.service(`_sip._${protocol}.${name}`))[0];
  } catch {
    // Most hosts have no SRV record; the plain address is next (RFC 3263 §4.2).
    return undefined;
  }
}
