import type { Instant } from "#core/call/call.ts";
import type { Provider } from "#core/channel/channel.ts";
import type { Identity } from "#core/contact/identity.ts";
import type { MessageContent, OutgoingContent } from "./content.ts";

/** A message to send, provider-neutral. */
export interface OutgoingMessage {
  /** UUID of its row in `messages`. */
  readonly id: string;
  readonly tenantId: string;
  readonly provider: Provider;
  /** The provider's id of the channel. */
  readonly channelId: string;
  /** Ways to reach the recipient, best first; never empty. A sender takes the first one that its provider can address. */
  readonly to: readonly [Identity, ...Identity[]];
  readonly content: OutgoingContent;
  /** The provider's id of the message that this one answers. */
  readonly replyTo?: string;
  /** Stable over retries; goes to the provider where it takes one. */
  readonly idempotencyKey: string;
}

/**
 * How far a message came. Outgoing ones move to the right only:
 *
 *     queued ──▶ sent ──▶ delivered ──▶ read        queued, sent ──▶ failed
 *
 * An incoming one is `received`. A `failed` message that is reported delivered after all is delivered.
 */
export type MessageState = "queued" | "sent" | "delivered" | "read" | "failed" | "received";

/** A message as it is stored and shown. */
export interface Message {
  readonly id: string;
  readonly conversationId: string;
  readonly direction: "in" | "out";
  readonly providerMessageId?: string;
  readonly content: MessageContent;
  readonly state: MessageState;
  /** Stable code and words, when it failed. */
  readonly error?: { readonly code: string; readonly message: string };
  /** Who wrote it: the contact's name, a rule, an API key, `phone` for the business phone itself. */
  readonly author?: string;
  readonly eventId?: string;
  readonly replyTo?: string;
  readonly at: Instant;
  readonly sentAt?: Instant;
  readonly deliveredAt?: Instant;
  readonly readAt?: Instant;
}

/** Why a provider did not take a message. */
export interface SendFailure {
  /** A stable word: `window_closed`, `unknown_recipient`, `channel_disconnected`, `unreachable`, `rate_limited`, `refused`, … */
  readonly code: string;
  readonly message: string;
  /** The provider's own error code. */
  readonly providerCode?: number;
  /** HTTP status; 0 when no answer came. */
  readonly httpStatus: number;
  /** The same request may succeed later. */
  readonly retryable: boolean;
  /** It may have been sent all the same (an answer was lost): sending it again could make it arrive twice. */
  readonly uncertain: boolean;
  /** What the provider asks to wait, milliseconds. */
  readonly retryAfterMs?: number;
  /** What a person should do about it. */
  readonly hint?: string;
}

export type SendOutcome =
  | { readonly ok: true; readonly providerMessageId: string }
  | { readonly ok: false; readonly failure: SendFailure };

/** A business may write freely for this long after the contact's last message; later only a template is taken (error 131047). */
export const SERVICE_WINDOW_MS = 24 * 3_600_000;
