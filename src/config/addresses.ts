import { BlockList, isIP } from "node:net";
import type { ConfigProblem } from "./load.ts";
import { type Key, type Relation, unless } from "./relation.ts";
import type { Config } from "./schema.ts";

const loopback = listOf(["127.0.0.0", 8, "ipv4"], ["::1", 128, "ipv6"]);
/** `0.0.0.0` and `::`, in any spelling: good for a socket, but nobody can send there. */
const wildcard = listOf(["0.0.0.0", 32, "ipv4"], ["::", 128, "ipv6"]);

/** What is told to others must be an address that they can send to; what is bound must be one that a machine can have. */
export const addressRelations: readonly Relation[] = [
  literal("sip.bind_address", ({ sip }) => sip.bind_address),
  literal("media.sip_bind_address", ({ media }) => media.sip_bind_address),
  literal("media.sip_address", ({ media }) => media.sip_address),
  spelled("sip.bind_address", ({ sip }) => sip.bind_address),
  spelled("media.sip_bind_address", ({ media }) => media.sip_bind_address),
  told("sip.public_address", ({ sip }) => sip.public_address),
  told("media.sip_address", ({ media }) => media.sip_address),
  pair("media.bind_address", ({ media }) => media.bind_address),
  pair("media.public_address", ({ media }) => media.public_address),
  networks("sip.peers", ({ sip }) => sip.peers, isNetwork),
  networks("http.trusted_proxies", ({ http }) => http.trusted_proxies, isProxy),
  {
    reads: ["media.public_address"],
    problems: ({ media }) =>
      media.public_address.flatMap((address, at) => unheard(`media.public_address[${at}]`, address)),
  },
  {
    reads: ["sip.engine", "sip.bind_address", "trunks.host"],
    problems: (config) =>
      config.sip.engine === "embedded" ? cutOff("sip.bind_address", config.sip.bind_address, config) : [],
  },
  {
    reads: ["media.sip_bind_address", "trunks.host"],
    problems: (config) => cutOff("media.sip_bind_address", config.media.sip_bind_address, config),
  },
];

function listOf(...nets: readonly (readonly [string, number, "ipv4" | "ipv6"])[]): BlockList {
  const list = new BlockList();
  for (const net of nets) list.addSubnet(...net);
  return list;
}

/** False for everything that is no address. */
function isIn(list: BlockList, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && list.check(address, family === 6 ? "ipv6" : "ipv4");
}

function literal(key: Key, of: (config: Config) => string | undefined): Relation {
  return { reads: [key], problems: (config) => noLiteral(key, of(config)) };
}

function noLiteral(key: string, address: string | undefined): ConfigProblem[] {
  return unless(address === undefined || isIP(address) !== 0, key, `${address} is not an IP address.`);
}

/** Whoever binds all addresses is told so by one of two spellings. */
function spelled(key: Key, of: (config: Config) => string): Relation {
  return {
    reads: [key],
    problems: (config) => {
      const address = of(config);
      const right = !isIn(wildcard, address) || ["0.0.0.0", "::"].includes(address);
      return unless(right, key, `must be written 0.0.0.0 or ::, but is ${address}.`);
    },
  };
}

function told(key: Key, of: (config: Config) => string | undefined): Relation {
  return { reads: [key], problems: (config) => unheard(key, of(config)) };
}

function unheard(key: string, address: string | undefined): ConfigProblem[] {
  const text = `${address} is no address that anybody could send to. Set it to one of this machine, or of the NAT before it.`;
  return unless(address === undefined || !isIn(wildcard, address), key, text);
}

/** One socket for each family. */
function pair(key: Key, of: (config: Config) => readonly string[]): Relation {
  return {
    reads: [key],
    problems: (config) => {
      const addresses = of(config);
      const most = Math.max(...[4, 6].map((family) => addresses.filter((address) => isIP(address) === family).length));
      return [
        ...addresses.flatMap((address, at) => noLiteral(`${key}[${at}]`, address)),
        ...unless(most <= 1, key, "takes one IPv4 and one IPv6 address at most."),
      ];
    },
  };
}

/** Those who are let in are known by their addresses; only the names of trunks are looked up. */
function networks(key: Key, of: (config: Config) => readonly string[], right: (entry: string) => boolean): Relation {
  const text = "is neither an IP address nor a network such as 10.0.0.0/8.";
  return {
    reads: [key],
    problems: (config) => of(config).flatMap((entry, at) => unless(right(entry), `${key}[${at}]`, `${entry} ${text}`)),
  };
}

function isNetwork(entry: string): boolean {
  const [, host = "", prefix] = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(entry) ?? [];
  const family = isIP(host);
  return family !== 0 && Number(prefix ?? 0) <= (family === 6 ? 128 : 32);
}

/** The HTTP server knows three ranges by name, and does not trust everybody. */
function isProxy(entry: string): boolean {
  return ["loopback", "linklocal", "uniquelocal"].includes(entry) || (isNetwork(entry) && !/\/0+$/.test(entry));
}

/** A trunk that is a name cannot be judged: only the network knows where it leads. */
function cutOff(key: Key, bound: string, { trunks }: Config): ConfigProblem[] {
  const far = trunks.findIndex(({ host }) => isIP(host) !== 0 && !isIn(loopback, host));
  const host = trunks[far]?.host;
  if (host === undefined || !isIn(loopback, bound)) return [];
  const all = isIP(host) === 6 ? "::" : "0.0.0.0";
  const text = `is ${bound}, where trunks[${far}].host (${host}) cannot reach it. Set it to this machine's address in the network of the PBX, or to ${all}.`;
  return [{ key, text }];
}
