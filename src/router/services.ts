import type { Channel, ChannelState, Provider } from "#core/channel/channel.ts";
import type { EventId, EventStatus } from "#core/event/event.ts";
import type { JsonObject } from "#core/json.ts";
import type { OutgoingContent } from "#core/message/content.ts";
import type { Message } from "#core/message/message.ts";
import type { MatchReport } from "#core/rule/rule.ts";
import type { RuleDraft } from "./ports.ts";

/** What the router and the message edges offer to the API, the pages and the command line. */

/** A refusal as a value: what an HTTP answer is made of. */
export interface Refusal {
  readonly ok: false;
  /** HTTP status that fits it. */
  readonly status: number;
  /** A stable word: `channel_taken`, `gateway_unreachable`, … */
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

export type Outcome<T> = { readonly ok: true; readonly value: T } | Refusal;

// ── Webhooks of message providers ──────────────────────────────────────────────────────────────────────────────────────

export interface WebhookRequest {
  /** From the path; nothing in the body can change it. */
  readonly channel?: string;
  /** Lower-case names; of repeated ones the first. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** The bytes as they came. */
  readonly body: Buffer;
}

/** `POST /api/whatsapp/webhook` and `/api/whatsapp/webhook/:channel`. Never throws. */
export interface GatewayWebhookPort {
  /** 200 only when everything in the body is committed; 401, 400, 413, 503 otherwise. */
  receive(request: WebhookRequest): Promise<{ readonly ok: true; readonly events: number } | Refusal>;
}

// ── Onboarding ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A QR code to show: what the gateway gave, in one form. */
export interface QrCode {
  /** What the phone reads; absent when the gateway gives a picture only. */
  readonly text?: string;
  /** PNG as a data URL; absent when the gateway gives text only. */
  readonly image?: string;
}

/** Connects a tenant's channel: create, QR, connected, webhook. */
export interface OnboardingPort {
  /** Makes the channel here and at the gateway, or takes up where an earlier attempt ended. */
  enable(tenantId: string, request: { readonly channelId?: string; readonly name?: string }): Promise<Outcome<Channel>>;
  /** Asks the gateway for the state now, and sets the webhook when it is connected and has none. */
  refresh(tenantId: string, id: string): Promise<Outcome<Channel>>;
  /** 409 `already_connected` when there is nothing to scan. */
  qr(tenantId: string, id: string): Promise<Outcome<QrCode>>;
  disable(tenantId: string, id: string): Promise<Outcome<Channel>>;
}

// ── The router ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** An event to try rules with; what is missing is filled in. */
export interface TrialEvent {
  readonly type: string;
  readonly payload: JsonObject;
  readonly sourceSystem?: string;
  readonly provider?: Provider;
  readonly channelId?: string;
  /** ISO 8601; now when absent. Hours are judged by it. */
  readonly at?: string;
}

export interface RouterServicePort {
  /** Which rules match and what would happen; does nothing. `rules`: drafts to try in place of the stored ones. */
  dryRun(tenantId: string, event: TrialEvent, rules?: readonly RuleDraft[]): Promise<MatchReport>;
  /** What is wrong with a rule, by field; empty when it can be stored. */
  check(draft: RuleDraft): readonly { readonly field: string; readonly message: string }[];
  /** A message by a person: a reply in a conversation, or the first one to a number. Resolves when it is stored and queued. */
  send(request: SendRequest): Promise<Outcome<Message>>;
  /** What changed, for pages that show it live; returns what unsubscribes. */
  watch(listener: (change: LiveChange) => void): () => void;
}

export interface SendRequest {
  readonly tenantId: string;
  readonly to:
    | { readonly conversationId: string }
    /** A phone number in any usual form; `channel` is `Channel.id`. */
    | { readonly phone: string; readonly channel: string };
  readonly content: OutgoingContent;
  readonly replyTo?: string;
  /** Name of the API key. */
  readonly by: string;
  /** The same again is the same message. */
  readonly idempotencyKey?: string;
}

/** Ids only: who wants more asks the API. */
export type LiveChange = { readonly tenantId: string } & (
  | { readonly kind: "event"; readonly eventId: EventId; readonly type: string; readonly status: EventStatus }
  | { readonly kind: "message"; readonly conversationId: string; readonly messageId: string }
  | { readonly kind: "channel"; readonly id: string; readonly state: ChannelState }
  | { readonly kind: "delivery"; readonly id: string; readonly state: "pending" | "delivered" | "dead" }
);
