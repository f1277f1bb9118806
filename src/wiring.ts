import { isIP, isIPv6 } from "node:net";
import { availableParallelism } from "node:os";
import type { Config, TrunkConfig } from "#config/schema.ts";
import type { CallLimits } from "#core/call/call.ts";
import type { ChannelRoute, RoutingTable } from "#core/routing/route.ts";
import type { TrunkMedia } from "#engine/call-context.ts";
import type { MediaPlaneOptions } from "#media/plane/media-plane.ts";
import type { TrunkOptions } from "#sip/trunk.ts";
import { normalizeAddress } from "#sip-agent/message/uri.ts";
import { isLoopback, isWildcard, machineAddress } from "#sip-agent/transport/address.ts";
import type { ListenerOptions } from "#sip-agent/transport/listener.ts";

/** Slices of the configuration in the shape that each part wants. */

export function limitsOf({ calling }: Config): CallLimits {
  return {
    staleAfterMs: calling.stale_after_ms,
    answerBudgetMs: calling.answer_budget_ms,
    ringTimeoutMs: calling.ring_timeout_ms,
    mediaTimeoutMs: calling.media_timeout_ms,
  };
}

/** The channels with the global defaults applied. */
export function routingOf({ calling, channels }: Config): RoutingTable {
  const routes = channels.map((channel): [string, ChannelRoute] => {
    const trunk = channel.trunk ?? calling.trunk;
    const target = channel.target ?? calling.target;
    const route = {
      enabled: channel.enabled,
      handler: channel.handler ?? calling.handler,
      ...(trunk === undefined ? {} : { trunk }),
      ...(target === undefined ? {} : { target }),
    };
    return [channel.phone_number_id, route];
  });
  return { callingEnabled: calling.enabled, channels: new Map(routes) };
}

/** Access tokens by phone number id. */
export function tokensOf({ channels, meta }: Config): ReadonlyMap<string, string> {
  return new Map(
    channels.flatMap((channel): [string, string][] => {
      const token = channel.access_token ?? meta.access_token;
      return token === undefined ? [] : [[channel.phone_number_id, token]];
    }),
  );
}

/** What each trunk says about its media; routes lead to configured trunks only. */
export function mediaOf(trunks: readonly TrunkConfig[]): (trunk: string) => TrunkMedia {
  const byName = new Map(trunks.map((trunk) => [trunk.name, trunk]));
  return (name) => byName.get(name) ?? { codecs: [], latching: "strict" };
}

export function trunkOptions(trunk: TrunkConfig): TrunkOptions {
  return {
    name: trunk.name,
    host: trunk.host,
    port: trunk.port,
    transport: trunk.transport,
    callerIdentity: trunk.caller_identity,
    optionsIntervalMs: trunk.options_interval_s * 1_000,
    ...(trunk.username === undefined ? {} : { username: trunk.username }),
    ...(trunk.password === undefined ? {} : { password: trunk.password }),
    ...(trunk.from_domain === undefined ? {} : { fromDomain: trunk.from_domain }),
  };
}

export function mediaOptions(config: Config): MediaPlaneOptions {
  const { media } = config;
  const { public_port: first, public_port_max: last, public_address } = media;
  const workers = media.workers === 0 ? availableParallelism() : media.workers;
  // The first ports are those of the workers themselves.
  const spare =
    first === 0 ? [] : Array.from({ length: last - first + 1 - workers }, (_, index) => first + workers + index);
  return {
    publicPort: first,
    publicBind: media.bind_address,
    sipBind: media.sip_bind_address,
    sipAddress: () => media.sip_address ?? rtpAddress(config),
    sipPorts: { first: media.sip_port_min, last: media.sip_port_max },
    deadAfterMs: media.dead_after_ms,
    workers,
    ...(spare.length === 0 ? {} : { sparePorts: spare }),
    ...(public_address.length === 0 ? {} : { publicAddresses: public_address }),
  };
}

/** Where the PBX shall send RTP: the bound address, and of all of them the one that the embedded agent would name, too. */
function rtpAddress({ media, trunks }: Config): string {
  const bound = normalizeAddress(media.sip_bind_address);
  if (!isWildcard(bound)) return bound;
  const near = trunks.map(({ host }) => normalizeAddress(host)).filter((host) => isIP(host) === isIP(bound));
  const far = near.find((host) => !isLoopback(host));
  return far === undefined && near[0] !== undefined ? near[0] : machineAddress(isIPv6(bound) ? 6 : 4, far);
}

/** Host and port of `drachtio://host:port`; undefined for the embedded agent. */
export function drachtioServer({ sip }: Config): { readonly host: string; readonly port: number } | undefined {
  if (sip.engine === "embedded") return undefined;
  const url = new URL(sip.engine.replace(/^drachtio:/, "http:"));
  return { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port) };
}

/** Where the embedded agent takes SIP; the same address and port for UDP and TCP. */
export function sipListeners({ sip }: Config): readonly ListenerOptions[] {
  const { bind_address: host, port, public_address: externalAddress } = sip;
  return [{ host, port, ...(externalAddress === undefined ? {} : { externalAddress }) }];
}
