import { isIPv6 } from "node:net";
import { type Address, isLoopback, isWildcard, machineAddress, type Protocol } from "./address.ts";
import type { TcpConnection } from "./tcp-connection.ts";

export type ListenerOptions = {
  /** IP literal to bind. Default 127.0.0.1: nothing outside the machine can reach the agent. */
  readonly host?: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Shown in Via and Contact instead of the bound address (1:1 NAT). */
  readonly externalAddress?: string;
};

/** One bound SIP socket, as the rest of the agent sees it. */
export class Listener {
  readonly protocol: Protocol;
  readonly bound: Address;
  readonly #external: string | undefined;

  constructor(protocol: Protocol, bound: Address, external: string | undefined) {
    this.protocol = protocol;
    this.bound = bound;
    this.#external = external;
  }

  get isPublic(): boolean {
    return this.#external !== undefined;
  }

  /** The address that `remote` should know us by. */
  advertised(remote?: string): Address {
    const { host, port } = this.bound;
    if (remote !== undefined && isLoopback(remote)) return { host: this.local(remote), port };
    return { host: this.#external ?? (isWildcard(host) ? machineAddress(isIPv6(host) ? 6 : 4, remote) : host), port };
  }

  /** The address on this machine that packets to `remote` leave from. */
  local(remote: string): string {
    const { host } = this.bound;
    if (!isWildcard(host)) return host;
    if (isLoopback(remote)) return remote === "::1" ? "::1" : "127.0.0.1";
    return machineAddress(isIPv6(remote) ? 6 : 4, remote);
  }

  /** True if packets to that address can leave here at all. A socket on `::` also serves IPv4. */
  reaches(remote: string): boolean {
    return this.bound.host === "::" || isIPv6(this.bound.host) === isIPv6(remote);
  }
}

/** Where a message came from, or goes to. */
export type Flow = {
  readonly listener: Listener;
  readonly remote: Address;
  /** TCP: the connection to use while it lives. */
  readonly connection?: TcpConnection;
  /** TCP: where to connect to when that connection is gone (RFC 3261 §18.2.2). */
  readonly fallback?: Address;
};

/**
 * The listener for a new request: the one that shares the longest address prefix with the target, then one with a public
 * address; a loopback socket only for loopback targets unless there is no other.
 */
export function chooseListener(
  listeners: readonly Listener[],
  protocol: Protocol,
  remote: string,
): Listener | undefined {
  let best: Listener | undefined;
  let bestScore = -1;
  for (const listener of listeners) {
    if (listener.protocol !== protocol || !listener.reaches(remote)) continue;
    const score = rank(listener, remote);
    if (score > bestScore) [best, bestScore] = [listener, score];
  }
  return best;
}

function rank(listener: Listener, remote: string): number {
  const { host } = listener.bound;
  if (isLoopback(host)) return isLoopback(remote) ? 1000 : 0;
  return 10 * (isWildcard(host) ? 1 : commonPrefix(host, remote) + 1) + (listener.isPublic ? 1 : 0);
}

function commonPrefix(a: string, b: string): number {
  const left = a.split(/[.:]/);
  const right = b.split(/[.:]/);
  let same = 0;
  while (same < left.length && left[same] === right[same]) same++;
  return same;
}
