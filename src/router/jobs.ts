import type { Identity } from "#core/contact/identity.ts";
import type { EventId } from "#core/event/event.ts";
import type { OutgoingContent } from "#core/message/content.ts";
import type { Pool } from "./ports.ts";

/** The names of jobs, lanes and effects: what has to be the same wherever it is made, because equal means "the same thing". */

/** What a routing job is told. Added by the store together with its event. */
export type RouteJob = {
  readonly event_id: EventId;
  /** 0 for the first routing and for a replay of what failed; a replay that repeats effects counts up, and gives them new keys. */
  readonly repeat: number;
};

/** A message to send, for whatever reason. */
export type SendJob = {
  /** UUID of its row in `messages`. */
  readonly message_id: string;
  readonly tenant_id: string;
  /** `Channel.id`. */
  readonly channel: string;
  readonly to: readonly Identity[];
  readonly content: OutgoingContent;
  readonly reply_to?: string;
  /** The rule's effect, or for a reply by a person `reply/<message_id>`. */
  readonly effect_key: string;
  /** Who wrote it, for the inbox. */
  readonly author: string;
  readonly event_id?: EventId;
};

/** An event to deliver to an endpoint. */
export type DeliverJob = {
  readonly effect_key: string;
  readonly endpoint_id: string;
  readonly event_id: EventId;
};

/** Names of handlers, as they stand in `q_jobs`. */
export const handler = { route: "route", send: "send", deliver: "deliver" } as const;

/**
 * Order is kept within a conversation for each target of its own, so that a target that fails stops nobody else.
 *
 * @param target tenant for `route`, `Channel.id` for `send`, endpoint for `deliver`.
 */
export function laneKey(pool: Pool, target: string, conversationKey: string): string {
  return `${pool}/${target}/${conversationKey}`;
}

/**
 * One action of one rule on one event, or (`rule` undefined) an endpoint's subscription; by it nothing is done twice.
 *
 * @param step index of the action in its rule; actions that a webhook's answer asks for are `<step of the webhook>.<index>`.
 * @param repeat of the routing job; 0 is left out.
 */
export function effectKey(eventId: EventId, rule: string | undefined, step: string, repeat: number): string {
  return `${eventId}/${rule ?? "subscription"}/${step}${repeat === 0 ? "" : `/r${repeat}`}`;
}
