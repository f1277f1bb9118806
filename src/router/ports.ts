import type { Instant } from "#core/call/call.ts";
import type { Channel, ChannelState, Provider } from "#core/channel/channel.ts";
import type { Contact, Identity } from "#core/contact/identity.ts";
import type { CommunicationEvent, EventId, EventStatus, NewEvent, TraceId } from "#core/event/event.ts";
import type { JsonObject } from "#core/json.ts";
import type { MessageContent } from "#core/message/content.ts";
import type { Message, MessageState, OutgoingMessage, SendOutcome } from "#core/message/message.ts";
import type { Action, ActionType, Rule } from "#core/rule/rule.ts";

/**
 * What the router needs of the world. Storage methods reject with PonteError `store_unavailable` (retryable) or `store_failed`;
 * everything else that can go wrong comes back as a value. Ids are UUIDs unless said otherwise.
 */

// ── Events in ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Accepted {
  /** Of the event that is stored: of the first one, where this was a duplicate. */
  readonly eventId: EventId;
  readonly traceId: TraceId;
  readonly duplicate: boolean;
  /** The same key came with another payload: it was kept and flagged, and does nothing else. */
  readonly conflict: boolean;
}

/** Takes events, from every edge. */
export interface EventIntakePort {
  /**
   * Resolves after commit of the event and of the job that routes it; what comes at once goes in one statement. Rejects with
   * PonteError `store_overloaded` (503: come again) when too many wait, `event_refused` when the event cannot be stored as it is.
   */
  accept(event: NewEvent): Promise<Accepted>;
}

// ── The queue ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Kinds of work that must not starve each other; each has workers and limits of its own. */
export type Pool = "route" | "send" | "deliver";

export interface NewJob {
  /**
   * Jobs of one lane are done one after the other, in the order in which they were added, retries included. Make it with
   * `laneKey()` of jobs.ts: `pool/target/conversation`, so that a dead target stops its own lanes only.
   */
  readonly lane: string;
  readonly pool: Pool;
  /** What limits of concurrency count: the tenant for `route`, the channel for `send`, the endpoint for `deliver`. */
  readonly target: string;
  readonly tenantId: string;
  /** Which handler does it. */
  readonly handler: string;
  readonly payload: JsonObject;
  /** The event that it belongs to. */
  readonly eventId?: EventId;
  /** Two queued jobs with one key are one job. */
  readonly idem?: string;
  /** Not before this much time has passed; those behind it in the lane wait too. */
  readonly delayMs?: number;
}

export interface Job extends Omit<NewJob, "delayMs" | "idem"> {
  /** A number that may not fit a JavaScript number. */
  readonly id: string;
  /** Attempts before this one. */
  readonly attempts: number;
  readonly lastError?: string;
}

/** The right to work on one lane for a while. */
export interface Lane {
  readonly key: string;
  readonly pool: Pool;
  readonly target: string;
  readonly tenantId: string;
  /** The fence: grows with every claim; what is finished under an older one is refused. */
  readonly lease: string;
  /** For `release`: jobs that were added after the claim are recognised by it. */
  readonly seq: string;
  /** Its first due jobs, in order; may be empty. */
  readonly jobs: readonly Job[];
}

export interface ClaimRequest {
  readonly pool: Pool;
  /** Lanes at most. */
  readonly lanes: number;
  /** Jobs of each lane at most. */
  readonly jobsPerLane: number;
  /** Renew it before it runs out; a dead node's lanes come back after it. */
  readonly leaseMs: number;
  /** Absent: no limit but `lanes`. */
  readonly perTarget?: Room;
  readonly perTenant?: Room;
}

/** How many lanes a claim may take of one target, or of one tenant. */
export interface Room {
  /** Of each that has none under way. */
  readonly each: number;
  /** Of those that have some under way; zero when they are at their limit. */
  readonly left: ReadonlyMap<string, number>;
}

/** An effect of a rule that is now known, in the statement that finishes the routing of its event. */
export interface PlannedEffect {
  /** `effectKey()` of jobs.ts: event, rule, step. The same again does nothing, but revives one that is `dead`. */
  readonly key: string;
  readonly eventId: EventId;
  /** Absent: an endpoint's subscription asked for it. */
  readonly rule?: { readonly id: string; readonly version: number };
  /** As in the key. */
  readonly step: string;
  readonly kind: ActionType;
  /** `done`: was carried out by the handler itself. `planned`: `job` will. */
  readonly state: "planned" | "done" | "dead";
  /** Why it is dead from the start, such as a template with a missing value. */
  readonly error?: string;
  readonly detail: JsonObject;
  /** Added only when the effect is new or revived. */
  readonly job?: NewJob;
}

/** How an attempt at a job ended; all of it is written in one statement, or nothing is. */
export type Completion = {
  readonly lane: Lane;
  readonly job: Job;
} & (
  | {
      readonly result: "done";
      /** Of a routing job: what the rules made of the event; absent: nothing changes. */
      readonly routed?: { readonly status: "routed" | "ignored" };
      readonly effects?: readonly PlannedEffect[];
      /** Of a job that carries out an effect. */
      readonly settled?: SettledEffect;
    }
  /** Again after `delayMs`; the lane waits for it. */
  | { readonly result: "retry"; readonly delayMs: number; readonly error: string }
  /** Given up: kept for a replay, and the lane goes on. */
  | { readonly result: "dead"; readonly error: string; readonly settled?: SettledEffect }
);

export interface SettledEffect {
  readonly key: string;
  /** `unknown`: it may or may not have happened, and its receiver cannot tell; nobody repeats it unasked. */
  readonly state: "done" | "dead" | "unknown";
  readonly response?: JsonObject;
  readonly error?: string;
}

/** Durable work, in lanes: in order within a lane, side by side between lanes, at least once. */
export interface QueuePort {
  /** Resolves after commit with the number of jobs that were new. */
  add(jobs: readonly NewJob[]): Promise<number>;
  /** Lanes with due work; empty when there is none. */
  claim(request: ClaimRequest): Promise<readonly Lane[]>;
  /**
   * Resolves after commit; what finishes at once goes in one statement. `lost`: the lane belongs to somebody else by now, nothing
   * was written, and the worker must leave the lane alone.
   */
  finish(completion: Completion): Promise<"finished" | "lost">;
  /** Gives a lane back; it comes again when there is more to do. After `lost` it does nothing. */
  release(lane: Lane): Promise<void>;
  /** False: lost. */
  renew(lane: Lane, leaseMs: number): Promise<boolean>;
  /** Told when there may be work in a pool: jobs were added here or on another node. Poll as well. Returns what unsubscribes. */
  onWork(listener: (pool: Pool) => void): () => void;
  /** Frees the lanes of dead nodes and those that were forgotten; for the start and every few seconds. Returns how many. */
  recover(): Promise<number>;
  figures(): Promise<readonly QueueFigures[]>;
}

export interface QueueFigures {
  readonly pool: Pool;
  readonly queued: number;
  readonly dead: number;
  /** Age of the oldest due job, milliseconds. */
  readonly oldestMs: number;
}

/** What a start found about an effect before its outside call is made. */
export type EffectStart =
  /** Never tried, or tried and known not to have happened. */
  | { readonly state: "fresh" }
  /** An attempt began and its end is not known: a crash, or a lost answer. */
  | { readonly state: "unknown" }
  | { readonly state: "done"; readonly response: JsonObject };

/** Effects on the outside happen once: each is written down before and after its call. */
export interface EffectLedgerPort {
  /** To be called, and committed, right before the outside call. */
  start(key: string): Promise<EffectStart>;
  /** The call is known to have had no effect (refused, not connected): the next start is fresh again. */
  notDone(key: string, error: string): Promise<void>;
}

// ── Reading events, traces, replay ─────────────────────────────────────────────────────────────────────────────────────

export interface Page<T> {
  readonly items: readonly T[];
  /** Cursor of the next page. */
  readonly next?: string;
}

export interface PageQuery {
  readonly tenantId: string;
  /** Opaque, from the page before; a bad one rejects with PonteError `bad_cursor`. */
  readonly cursor?: string;
  /** 1 to 200. */
  readonly limit: number;
}

export interface EventFilter {
  /** With wildcards, as in rules. */
  readonly type?: string;
  readonly status?: EventStatus;
  readonly sourceSystem?: string;
  readonly channelId?: string;
  readonly traceId?: string;
  readonly conversationKey?: string;
  readonly since?: Instant;
  readonly until?: Instant;
}

/** One action that a rule did, or will do. */
export interface Effect {
  readonly key: string;
  readonly eventId: EventId;
  /** `name` is absent when the rule is gone. */
  readonly rule?: { readonly id: string; readonly version: number; readonly name?: string };
  readonly step: string;
  readonly kind: ActionType;
  readonly state: "planned" | "started" | "done" | "dead" | "unknown";
  readonly attempts: number;
  readonly detail: JsonObject;
  readonly response?: JsonObject;
  readonly error?: string;
  readonly plannedAt: Instant;
  readonly settledAt?: Instant;
}

/** Event → rule → action → delivery. */
export interface EventTrace {
  readonly event: CommunicationEvent;
  readonly conflicts: readonly {
    readonly receivedAt: Instant;
    readonly payload: JsonObject;
    readonly raw?: JsonObject;
  }[];
  readonly effects: readonly Effect[];
  readonly deliveries: readonly Delivery[];
  readonly messages: readonly Message[];
}

/** Reads the event log, and has parts of it done again. */
export interface EventLogPort {
  get(tenantId: string, eventId: EventId): Promise<CommunicationEvent | undefined>;
  /** For the routing job: no tenant check. */
  load(eventId: EventId): Promise<CommunicationEvent | undefined>;
  list(query: PageQuery & EventFilter): Promise<Page<CommunicationEvent>>;
  trace(tenantId: string, eventId: EventId): Promise<EventTrace | undefined>;
  /**
   * Routes events again, oldest first. Effects that succeeded stay as they are unless `repeat`; those that are dead are tried again.
   * @returns how many events; at most `limit`.
   */
  replay(request: ReplayRequest): Promise<number>;
  /** Gives all parked events of a channel to its tenant and has them routed; returns how many. */
  unpark(provider: Provider, channelId: string, tenantId: string): Promise<number>;
}

/** Events that came over a channel of nobody. */
export interface ParkedEvents {
  readonly provider: Provider;
  readonly channelId: string;
  readonly count: number;
  /** When the first one came. */
  readonly since: Instant;
}

/** What waits for somebody to claim its channel; for operators, because it belongs to no tenant. */
export interface ParkedEventsPort {
  parked(): Promise<readonly ParkedEvents[]>;
}

export interface ReplayRequest {
  readonly tenantId: string;
  readonly eventIds?: readonly EventId[];
  readonly filter?: EventFilter;
  readonly limit: number;
  /** Also do again what succeeded. Default false. */
  readonly repeat?: boolean;
  /** For the audit: name of the API key, or `cli`. */
  readonly by: string;
}

// ── Rules ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

export type RuleDraft = Omit<Rule, "id" | "tenantId" | "version" | "updatedAt" | "updatedBy">;

export interface RuleChange {
  readonly ruleId: string;
  readonly version: number;
  readonly change: "created" | "changed" | "deleted";
  readonly at: Instant;
  readonly by: string;
  /** As it was after the change; of a deleted one, as it was before. */
  readonly rule: RuleDraft;
}

/** Rules, with every version that they ever had. */
export interface RuleStorePort {
  /** In the order in which they are tried. */
  list(tenantId: string): Promise<readonly Rule[]>;
  get(tenantId: string, id: string): Promise<Rule | undefined>;
  create(tenantId: string, draft: RuleDraft, by: string): Promise<Rule>;
  /** `conflict`: somebody else changed it after `version`. */
  change(
    tenantId: string,
    id: string,
    version: number,
    draft: RuleDraft,
    by: string,
  ): Promise<Rule | "unknown" | "conflict">;
  remove(tenantId: string, id: string, by: string): Promise<boolean>;
  /** Newest first, of one rule or of all. */
  history(tenantId: string, id?: string): Promise<readonly RuleChange[]>;
  /** Grows with every change of a tenant's rules: a cache is good as long as it stands. */
  revision(tenantId: string): Promise<string>;
}

// ── Channels, contacts, the inbox ──────────────────────────────────────────────────────────────────────────────────────

/** Which tenant a channel belongs to. */
export interface ChannelDirectoryPort {
  find(provider: Provider, channelId: string): Promise<Channel | undefined>;
  get(tenantId: string, id: string): Promise<Channel | undefined>;
  list(tenantId: string): Promise<readonly Channel[]>;
  /** Makes it, or changes what is given. `taken`: it belongs to another tenant. */
  put(channel: NewChannel): Promise<Channel | "taken">;
  /** Undefined: no such channel, or `was` is given and is not its state any more, so that of two who saw it one moves it. */
  change(id: string, change: ChannelChange, was?: ChannelState): Promise<Channel | undefined>;
  /** The secret of the channel's webhook. */
  secret(id: string): Promise<string | undefined>;
  /** Stores a secret, encrypted, unless there is one; resolves with the one that holds. Undefined: no such channel. */
  keepSecret(id: string, secret: string): Promise<string | undefined>;
  remove(tenantId: string, id: string): Promise<boolean>;
}

export interface NewChannel {
  readonly tenantId: string;
  readonly provider: Provider;
  readonly channelId: string;
  readonly name?: string;
  readonly state: ChannelState;
  readonly enabled: boolean;
  readonly phone?: string;
}

export interface ChannelChange {
  readonly name?: string;
  readonly enabled?: boolean;
  readonly state?: ChannelState;
  readonly phone?: string;
  readonly webhookConfigured?: boolean;
  readonly metadata?: JsonObject;
}

/** One contact per person. */
export interface ContactPort {
  /**
   * Finds or makes the contact that has any of these identities, and gives it all of them; two contacts that turn out to be one
   * person become the older one, with their conversations. A name that is given replaces an older one.
   */
  resolve(tenantId: string, identities: readonly [Identity, ...Identity[]], name?: string): Promise<Contact>;
  /** The same for somebody who is written to: an address that is known stays as WhatsApp gave it. */
  reach(tenantId: string, identities: readonly [Identity, ...Identity[]]): Promise<Contact>;
  get(tenantId: string, id: string): Promise<Contact | undefined>;
}

export interface NewMessage {
  /** UUID of version 7, made by whoever makes the message. */
  readonly id: string;
  readonly tenantId: string;
  /** `Channel.id`. */
  readonly channel: string;
  readonly contactId: string;
  readonly direction: "in" | "out";
  readonly content: MessageContent;
  readonly state: MessageState;
  /** Unique per channel, where it is known. */
  readonly providerMessageId?: string;
  /** Unique: the effect's key, or that of the API's request. */
  readonly idem?: string;
  readonly author?: string;
  readonly eventId?: EventId;
  readonly replyTo?: string;
  readonly at: Instant;
  readonly assignee?: string;
}

/** The message that an ack moved. */
export interface Moved {
  readonly messageId: string;
  readonly conversationId: string;
}

export interface StoredMessage {
  readonly message: Message;
  readonly duplicate: boolean;
}

/** Who owns channels, rules and keys. */
export interface TenantPort {
  exists(tenantId: string): Promise<boolean>;
  /** All of them. */
  ids(): Promise<readonly string[]>;
}

/** Conversations and messages: the internal chat. */
export interface InboxPort {
  /** Stores a message in its conversation, which is made where needed; an incoming one counts as unread. The same again is a duplicate. */
  put(message: NewMessage): Promise<StoredMessage>;
  /**
   * An outgoing message of the tenant moved; it only ever moves forward. `early`: no message has this id, but one is on its way over
   * this channel whose id is not known yet. `unknown`: it is of no message of ours.
   */
  ack(ack: MessageAck): Promise<Moved | "late" | "early" | "unknown">;
  /** The provider took it, or refused it for good. */
  sent(
    id: string,
    outcome: { readonly providerMessageId: string } | { readonly error: { code: string; message: string } },
  ): Promise<void>;
  message(
    id: string,
  ): Promise<
    (Message & { readonly tenantId: string; readonly contactId: string; readonly channel: string }) | undefined
  >;
  conversation(tenantId: string, id: string): Promise<Conversation | undefined>;
  conversations(query: PageQuery & ConversationFilter): Promise<Page<Conversation>>;
  /** Newest first. */
  messages(query: PageQuery & { readonly conversationId: string }): Promise<Page<Message>>;
  change(tenantId: string, id: string, change: ConversationChange): Promise<Conversation | undefined>;
}

export interface MessageAck {
  readonly tenantId: string;
  readonly provider: Provider;
  readonly channelId: string;
  readonly providerMessageId: string;
  readonly status: "sent" | "delivered" | "read" | "failed";
  readonly at: Instant;
  readonly error?: { readonly code: string; readonly message: string };
}

/** What is said with one contact over one channel. */
export interface Conversation {
  readonly id: string;
  /** `Channel.id`. */
  readonly channel: string;
  readonly provider: Provider;
  readonly channelId: string;
  readonly contact: Contact;
  readonly state: "open" | "closed";
  readonly unread: number;
  readonly assignee?: string;
  readonly lastMessage?: { readonly at: Instant; readonly direction: "in" | "out"; readonly preview: string };
  /** Of the contact; the 24 h window runs from it. */
  readonly lastInboundAt?: Instant;
}

export interface ConversationFilter {
  readonly state?: "open" | "closed";
  readonly unreadOnly?: boolean;
  readonly assignee?: string;
  readonly channel?: string;
}

export interface ConversationChange {
  readonly state?: "open" | "closed";
  /** Null takes the assignee away. */
  readonly assignee?: string | null;
  readonly read?: true;
}

// ── Messages out ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Sends messages: one for each provider, joined by `Senders`. Never throws. */
export interface MessageSenderPort {
  send(message: OutgoingMessage, deadline: Instant): Promise<SendOutcome>;
}

export type Senders = Readonly<Partial<Record<Provider, MessageSenderPort>>>;

// ── Outgoing webhooks ──────────────────────────────────────────────────────────────────────────────────────────────────

export interface Endpoint {
  readonly id: string;
  readonly tenantId: string;
  readonly url: string;
  readonly name?: string;
  /** Event types with wildcards; an event that fits one is delivered without any rule. Empty: by rules only. */
  readonly events: readonly string[];
  readonly enabled: boolean;
  /** Why ponte switched it off. */
  readonly disabledReason?: string;
  /** Private addresses may be dialled. */
  readonly allowPrivate: boolean;
  /** The first failure since the last success. */
  readonly failingSince?: Instant;
  readonly createdAt: Instant;
}

export interface EndpointDraft {
  readonly url: string;
  readonly name?: string;
  readonly events: readonly string[];
  readonly enabled: boolean;
  readonly allowPrivate: boolean;
}

export interface EndpointStorePort {
  list(tenantId: string): Promise<readonly Endpoint[]>;
  get(tenantId: string, id: string): Promise<Endpoint | undefined>;
  /** `secret` is stored encrypted. */
  create(tenantId: string, draft: EndpointDraft, secret: string): Promise<Endpoint>;
  change(tenantId: string, id: string, draft: Partial<EndpointDraft>): Promise<Endpoint | undefined>;
  remove(tenantId: string, id: string): Promise<boolean>;
  /** The new secret signs from now on, the old one as well until `oldUntil`. */
  rotate(tenantId: string, id: string, secret: string, oldUntil: Instant): Promise<boolean>;
  /** Secrets that are valid at `now`, the newest first; one or two. */
  secrets(id: string, now: Instant): Promise<readonly string[]>;
  /** Notes how a delivery ended; switches the endpoint off when it has failed since before `disableBefore`. True: it did so now. */
  noted(
    id: string,
    outcome: { readonly ok: true } | { readonly ok: false; readonly at: Instant; readonly disableBefore: Instant },
  ): Promise<boolean>;
}

/** One event on its way to one endpoint. */
export interface Delivery {
  readonly id: string;
  readonly tenantId: string;
  readonly endpointId: string;
  readonly eventId: EventId;
  /** Of the effect, where a rule asked for it. */
  readonly effectKey?: string;
  readonly state: "pending" | "delivered" | "dead";
  readonly attempts: readonly DeliveryAttempt[];
  readonly createdAt: Instant;
  readonly nextAt?: Instant;
  readonly settledAt?: Instant;
}

export interface DeliveryAttempt {
  readonly at: Instant;
  readonly tookMs: number;
  /** HTTP status; absent when no answer came. */
  readonly status?: number;
  /** A stable word: `timeout`, `refused_address`, `connection_refused`, `status`, … */
  readonly error?: string;
  /** The beginning of the answer, without secrets. */
  readonly response?: string;
}

export interface DeliveryStorePort {
  /** Makes the delivery unless `key` has one, and returns it. */
  begin(delivery: {
    readonly key: string;
    readonly tenantId: string;
    readonly endpointId: string;
    readonly eventId: EventId;
    readonly effectKey?: string;
  }): Promise<Delivery>;
  attempt(
    id: string,
    attempt: DeliveryAttempt,
    then: { readonly state: "delivered" | "dead" } | { readonly state: "pending"; readonly nextAt: Instant },
  ): Promise<void>;
  get(tenantId: string, id: string): Promise<Delivery | undefined>;
  list(
    query: PageQuery & { readonly endpointId?: string; readonly state?: Delivery["state"]; readonly eventId?: EventId },
  ): Promise<Page<Delivery>>;
  /** Tries dead ones again: one, those of an endpoint, those of a time span. Returns how many. */
  replay(request: {
    readonly tenantId: string;
    readonly id?: string;
    readonly endpointId?: string;
    readonly since?: Instant;
    readonly until?: Instant;
    readonly limit: number;
  }): Promise<number>;
}

/** What an outgoing webhook came to. */
export type WebhookOutcome =
  | { readonly ok: true; readonly attempt: DeliveryAttempt; readonly reply?: WebhookReply }
  | {
      readonly ok: false;
      readonly attempt: DeliveryAttempt;
      readonly retryable: boolean;
      readonly retryAfterMs?: number;
    };

/** What the answer asked for: a reply in the conversation, further actions, or both. Validated: nothing unknown is left in it. */
export interface WebhookReply {
  readonly actions: readonly Action[];
}

/** Sends one signed request. Never throws; follows no redirect; dials only what the SSRF guard allows. */
export interface WebhookDeliveryPort {
  deliver(
    event: CommunicationEvent,
    endpoint: Endpoint,
    secrets: readonly string[],
    deadline: Instant,
  ): Promise<WebhookOutcome>;
}
