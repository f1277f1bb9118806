import type { Offer, Route } from "#core/call/call.ts";

export interface ChannelRoute {
  readonly enabled: boolean;
  readonly handler: "bridge" | "reject";
  readonly trunk?: string;
  readonly target?: string;
}

export interface RoutingTable {
  readonly callingEnabled: boolean;
  /** By phone number id, with the global defaults already applied. */
  readonly channels: ReadonlyMap<string, ChannelRoute>;
}

/** Where a call goes. Without a target the business number that was dialled is dialled on the trunk. */
export function routeOf(offer: Offer, table: RoutingTable): Route {
  const channel = table.channels.get(offer.channelId);
  if (!table.callingEnabled) return { handler: "reject", reason: "calling_disabled" };
  if (channel === undefined || !channel.enabled) return { handler: "reject", reason: "channel_unknown" };
  if (channel.handler === "reject" || channel.trunk === undefined)
    return { handler: "reject", reason: "handler_reject" };
  return { handler: "bridge", trunk: channel.trunk, target: channel.target ?? offer.calledNumber };
}
