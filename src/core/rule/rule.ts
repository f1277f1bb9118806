import type { Instant } from "#core/call/call.ts";
import type { Provider } from "#core/channel/channel.ts";
import type { OutgoingContent } from "#core/message/content.ts";

/**
 * "When this happens, do that." Rules of a tenant are tried in order of `priority`, then of age; each that matches does its
 * actions, and the first one with `onMatch: "stop"` ends the search.
 */
export interface Rule {
  /** UUID. */
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  readonly enabled: boolean;
  /** Smaller numbers come first. */
  readonly priority: number;
  /** An event type, or one with wildcards: `*` is one word, a last `*` any number of them (`billing.invoice.*`, `*`). */
  readonly eventType: string;
  /** Only of this provider; absent: of any and of none. */
  readonly provider?: Provider;
  /** Only of this channel (the provider's id). */
  readonly channelId?: string;
  readonly condition?: Condition;
  readonly hours?: Hours;
  /** At least one; done in this order. */
  readonly actions: readonly Action[];
  readonly onMatch: "stop" | "continue";
  /** Counts up with each change. */
  readonly version: number;
  readonly updatedAt: Instant;
  /** Name of the API key, or `ponte` for the rules that it begins with. */
  readonly updatedBy: string;
}

/**
 * An expression over `event` (`type`, `source_system`, `external_id`, `channel_id`, `provider`, `occurred_at`) and `payload`
 * that is true or false: `payload.invoice.amount > 100 && has(payload.customer.phone)`.
 */
export type Condition = string;

/** When a rule applies, on the wall clock of a place. A JSON document. */
export type Hours = {
  /** IANA name: `America/Sao_Paulo`. */
  readonly timezone: string;
  /** Whether the rule applies within these times, or outside of them. */
  readonly applies: "inside" | "outside";
  readonly weekly: readonly OpenTime[];
  /** ISO dates on which the whole day is closed: `2026-12-25`, or `12-25` for every year. */
  readonly holidays?: readonly string[];
};

/** `days`: 1 Monday to 7 Sunday (ISO 8601). `to` before `from` runs over midnight; `24:00` is the end of the day. */
export type OpenTime = { readonly days: readonly number[]; readonly from: string; readonly to: string };

/** What is to be done. JSON documents; a new kind is one member here, and one file in `src/router/actions/`. */
export type Action = InboxAction | SendMessageAction | WebhookAction | LogAction | DropAction;

export type ActionType = Action["type"];

/** Into the internal chat: contact, conversation and message. */
export type InboxAction = { readonly type: "inbox"; readonly assignee?: string };

/** Strings in `to` and `content` are templates: `{{payload.customer.name}}` is replaced; a value that is missing fails the action. */
export type SendMessageAction = {
  readonly type: "send_message";
  /** Phone number, `…@lid` or BSUID; absent: whoever the event is about. */
  readonly to?: string;
  /** Over which channel; absent: the event's own, or the tenant's one enabled channel. */
  readonly provider?: Provider;
  readonly channel_id?: string;
  readonly content: OutgoingContent;
};

/** To one outgoing webhook, whose answer may carry a reply or next actions. */
export type WebhookAction = { readonly type: "webhook"; readonly endpoint_id: string };

export type LogAction = { readonly type: "log"; readonly level?: "debug" | "info" | "warn"; readonly note?: string };

/** Nothing, on purpose: the event counts as ignored, and no further rule is asked. */
export type DropAction = { readonly type: "drop" };

/** What a rule said to an event, for a dry run and for the trace. */
export interface RuleVerdict {
  readonly ruleId: string;
  readonly ruleVersion: number;
  readonly name: string;
  readonly matched: boolean;
  /** The first thing that did not fit; `matched` and `not_reached` otherwise. */
  readonly reason:
    | "matched"
    | "disabled"
    | "type"
    | "channel"
    | "condition"
    | "condition_error"
    | "hours"
    | "not_reached";
  /** For people: the condition's value or error, the local time that was found closed. */
  readonly detail?: string;
  readonly actions: readonly Action[];
}

/** What would happen to an event: every rule in order, and what it would do, with templates filled in. */
export interface MatchReport {
  readonly verdicts: readonly RuleVerdict[];
  /** In the order in which they would be done. `problem`: why it could not be done. */
  readonly effects: readonly {
    readonly ruleId: string;
    readonly step: number;
    readonly action: Action;
    readonly problem?: string;
  }[];
}
