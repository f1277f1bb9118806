import type { Channel, ChannelState } from "#core/channel/channel.ts";
import type { CommunicationEvent, EventId, NewEvent } from "#core/event/event.ts";
import { idempotencyKey } from "#core/event/event.ts";
import type { Message } from "#core/message/message.ts";
import type { MatchReport, Rule } from "#core/rule/rule.ts";
import type { Clock } from "#engine/ports.ts";
import type { RouterParts } from "#http/router-parts.ts";
import type {
  Accepted,
  Conversation,
  Delivery,
  Effect,
  Endpoint,
  Page,
  PageQuery,
  ParkedEvents,
  ReplayRequest,
  RuleChange,
  RuleDraft,
} from "#router/ports.ts";
import type { LiveChange, Refusal, SendRequest, TrialEvent, WebhookRequest } from "#router/services.ts";
import { fakeEndpoints } from "./http-router-endpoints.ts";

export const TENANT = "00000000-0000-7000-8000-000000000001";
export const OTHER_TENANT = "00000000-0000-7000-8000-000000000002";
export const INGESTION_SECRET = "ingestion-secret-that-is-good";

/** A UUID by its number, so that tests can say which one they mean. */
export const id = (n: number): string => `00000000-0000-7000-8000-${String(n).padStart(12, "0")}`;
export const eventId = (n: number): EventId => `evt_${id(n)}`;

/** The router and its stores in memory, as far as the API can see them; set and looked at from outside. */
export class FakeRouter {
  readonly clock: Clock;
  readonly accepted = new Map<string, CommunicationEvent>();
  readonly effects: Effect[] = [];
  readonly rules: Rule[] = [];
  readonly changes: RuleChange[] = [];
  readonly channels: Channel[] = [];
  readonly parked: ParkedEvents[] = [];
  readonly conversations: (Conversation & { readonly tenantId: string })[] = [];
  readonly messages: Message[] = [];
  readonly endpoints: Endpoint[] = [];
  readonly rotations: { readonly id: string; readonly secret: string; readonly oldUntil: number }[] = [];
  readonly deliveries: Delivery[] = [];
  readonly replays: ReplayRequest[] = [];
  readonly sent: SendRequest[] = [];
  readonly webhooks: WebhookRequest[] = [];
  readonly watchers = new Set<(change: LiveChange) => void>();
  readonly trials: { readonly event: TrialEvent; readonly rules?: readonly RuleDraft[] }[] = [];
  report: MatchReport = { verdicts: [], effects: [] };
  webhookAnswer: { readonly ok: true; readonly events: number } | Refusal = { ok: true, events: 1 };
  storeFailure: Error | undefined;
  /** What the phone would read now; changes with each look, as the codes of a gateway do. */
  qrShown = 0;
  #next = 1_000;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  newId(): string {
    this.#next += 1;
    return id(this.#next);
  }

  tell(change: LiveChange): void {
    for (const watcher of this.watchers) watcher(change);
  }

  /** What the phone, or the gateway, would do to a channel. */
  moveChannel(channelId: string, state: ChannelState, more: Partial<Channel> = {}): Channel {
    const i = this.channels.findIndex((channel) => channel.id === channelId);
    const before = this.channels[i];
    if (before === undefined) throw new Error(`no channel ${channelId}`);
    const channel = { ...before, ...more, state, updatedAt: this.clock.now() };
    this.channels[i] = channel;
    this.tell({ tenantId: channel.tenantId, kind: "channel", id: channel.id, state });
    return channel;
  }

  /** A message by the contact. */
  receive(conversationId: string, text: string): Message {
    const at = this.clock.now();
    const message: Message = {
      id: this.newId(),
      conversationId,
      direction: "in",
      content: { type: "text", text },
      state: "received",
      at,
    };
    this.messages.push(message);
    this.#touch(conversationId, (one) => ({
      ...one,
      unread: one.unread + 1,
      lastMessage: { at, direction: "in", preview: text },
      lastInboundAt: at,
    }));
    this.tell({ tenantId: TENANT, kind: "message", conversationId, messageId: message.id });
    return message;
  }

  /** An ack, or a failure, of a message that was sent. */
  moveMessage(messageId: string, change: Partial<Message>): void {
    const i = this.messages.findIndex((message) => message.id === messageId);
    const before = this.messages[i];
    if (before === undefined) throw new Error(`no message ${messageId}`);
    this.messages[i] = { ...before, ...change };
    this.tell({ tenantId: TENANT, kind: "message", conversationId: before.conversationId, messageId });
  }

  parts(): RouterParts {
    return {
      tenantId: TENANT,
      ingestionSecret: INGESTION_SECRET,
      tenants: { exists: async (tenantId) => tenantId === TENANT || tenantId === OTHER_TENANT },
      intake: { accept: (event) => this.#accept(event) },
      events: {
        get: async (tenantId, wanted) => this.#event(tenantId, wanted),
        load: async (wanted) => [...this.accepted.values()].find((event) => event.eventId === wanted),
        list: async (query) =>
          pageOf(
            [...this.accepted.values()]
              .toReversed()
              .filter(
                (event) =>
                  event.tenantId === query.tenantId &&
                  (query.status === undefined || event.status === query.status) &&
                  (query.type === undefined || event.type.startsWith(query.type.replace(/\*$/, ""))),
              ),
            query,
          ),
        trace: async (tenantId, wanted) => {
          const event = this.#event(tenantId, wanted);
          return (
            event && {
              event,
              conflicts: [],
              effects: this.effects.filter((effect) => effect.eventId === wanted),
              deliveries: this.deliveries.filter((delivery) => delivery.eventId === wanted),
              messages: this.messages.filter((message) => message.eventId === wanted),
            }
          );
        },
        replay: async (request) => {
          this.replays.push(request);
          return request.eventIds?.length ?? this.accepted.size;
        },
        unpark: async () => 0,
      },
      parked: { parked: async () => this.parked },
      rules: this.#rules(),
      channels: {
        find: async (provider, name) =>
          this.channels.find((channel) => channel.provider === provider && channel.channelId === name),
        get: async (tenantId, wanted) => this.#channel(tenantId, wanted),
        list: async (tenantId) => this.channels.filter((channel) => channel.tenantId === tenantId),
        put: async () => "taken",
        change: async (wanted, { name, state }) => {
          const channel = this.channels.find((one) => one.id === wanted);
          return channel && this.moveChannel(wanted, state ?? channel.state, name === undefined ? {} : { name });
        },
        secret: async () => undefined,
        keepSecret: async () => undefined,
        remove: async () => false,
      },
      inbox: this.#inbox(),
      endpoints: fakeEndpoints(this),
      deliveries: {
        begin: async () => Promise.reject(new Error("not asked by the API")),
        attempt: async () => undefined,
        get: async (tenantId, wanted) => this.deliveries.find((one) => one.id === wanted && one.tenantId === tenantId),
        list: async (query) =>
          pageOf(
            this.deliveries.filter(
              (one) => one.tenantId === query.tenantId && (query.state === undefined || one.state === query.state),
            ),
            query,
          ),
        replay: async (request) => {
          let count = 0;
          for (const [i, one] of this.deliveries.entries()) {
            if (one.state !== "dead" || (request.id !== undefined && one.id !== request.id)) continue;
            if (request.endpointId !== undefined && one.endpointId !== request.endpointId) continue;
            this.deliveries[i] = { ...one, state: "pending", nextAt: this.clock.now() };
            this.tell({ tenantId: one.tenantId, kind: "delivery", id: one.id, state: "pending" });
            count += 1;
          }
          return count;
        },
      },
      service: {
        dryRun: async (_tenantId, event, rules) => {
          this.trials.push({ event, ...(rules === undefined ? {} : { rules }) });
          return this.report;
        },
        check: ({ condition }) =>
          condition?.includes("((") === true ? [{ field: "condition", message: "Does not parse." }] : [],
        send: (request) => this.#send(request),
        watch: (listener) => {
          this.watchers.add(listener);
          return () => this.watchers.delete(listener);
        },
      },
      gatewayWebhook: {
        receive: async (request) => {
          this.webhooks.push(request);
          return this.webhookAnswer;
        },
      },
      onboarding: {
        enable: async (tenantId, { channelId, name }) => {
          const now = this.clock.now();
          const channel: Channel = {
            id: this.newId(),
            tenantId,
            provider: "wpp_gateway",
            channelId: channelId ?? "made",
            ...(name === undefined ? {} : { name }),
            enabled: true,
            state: "qr",
            webhookConfigured: false,
            metadata: {},
            createdAt: now,
            updatedAt: now,
          };
          const known = this.channels.find((one) => one.channelId === channel.channelId);
          if (known?.tenantId === tenantId)
            return { ok: true, value: this.moveChannel(known.id, "qr", { enabled: true }) };
          if (known !== undefined)
            return { ok: false, status: 409, code: "channel_taken", message: "This channel is taken." };
          this.channels.push(channel);
          return { ok: true, value: channel };
        },
        refresh: async (tenantId, wanted) => {
          const channel = this.#channel(tenantId, wanted);
          if (channel === undefined)
            return { ok: false, status: 404, code: "channel_not_found", message: "No channel." };
          return { ok: true, value: this.moveChannel(wanted, channel.state) };
        },
        qr: async (tenantId, wanted) => {
          if (this.#channel(tenantId, wanted)?.state === "connected")
            return { ok: false, status: 409, code: "already_connected", message: "There is nothing to scan." };
          this.qrShown += 1;
          return { ok: true, value: { text: `2@code-number-${this.qrShown}` } };
        },
        disable: async (_tenantId, wanted) => ({
          ok: true,
          value: this.moveChannel(wanted, "disconnected", { enabled: false }),
        }),
      },
    };
  }

  async #accept(event: NewEvent): Promise<Accepted> {
    if (this.storeFailure !== undefined) throw this.storeFailure;
    const key = idempotencyKey(event);
    const known = this.accepted.get(key);
    if (known !== undefined) {
      const conflict = JSON.stringify(known.payload) !== JSON.stringify(event.payload);
      return { eventId: known.eventId, traceId: known.traceId, duplicate: true, conflict };
    }
    this.accepted.set(key, { ...event, idempotencyKey: key, status: "received", attempts: 0, conflicts: 0 });
    return { eventId: event.eventId, traceId: event.traceId, duplicate: false, conflict: false };
  }

  #event(tenantId: string, wanted: EventId): CommunicationEvent | undefined {
    return [...this.accepted.values()].find((event) => event.eventId === wanted && event.tenantId === tenantId);
  }

  #channel(tenantId: string, wanted: string): Channel | undefined {
    return this.channels.find((channel) => channel.id === wanted && channel.tenantId === tenantId);
  }

  #rules(): RouterParts["rules"] {
    const noted = (rule: Rule, change: RuleChange["change"], by: string): Rule => {
      this.changes.unshift({ ruleId: rule.id, version: rule.version, change, at: this.clock.now(), by, rule });
      return rule;
    };
    const at = (tenantId: string, wanted: string) =>
      this.rules.findIndex((rule) => rule.id === wanted && rule.tenantId === tenantId);
    return {
      list: async (tenantId) =>
        this.rules.filter((rule) => rule.tenantId === tenantId).toSorted((a, b) => a.priority - b.priority),
      get: async (tenantId, wanted) => this.rules[at(tenantId, wanted)],
      create: async (tenantId, draft, by) => {
        const rule = { ...draft, id: this.newId(), tenantId, version: 1, updatedAt: this.clock.now(), updatedBy: by };
        this.rules.push(rule);
        return noted(rule, "created", by);
      },
      change: async (tenantId, wanted, version, draft, by) => {
        const before = this.rules[at(tenantId, wanted)];
        if (before === undefined) return "unknown";
        if (before.version !== version) return "conflict";
        const { id: same, tenantId: owner } = before;
        const now = this.clock.now();
        const rule = { ...draft, id: same, tenantId: owner, version: version + 1, updatedAt: now, updatedBy: by };
        this.rules[at(tenantId, wanted)] = rule;
        return noted(rule, "changed", by);
      },
      remove: async (tenantId, wanted, by) => {
        const [rule] = at(tenantId, wanted) < 0 ? [] : this.rules.splice(at(tenantId, wanted), 1);
        if (rule !== undefined) noted(rule, "deleted", by);
        return rule !== undefined;
      },
      history: async (_tenantId, wanted) =>
        this.changes.filter((change) => wanted === undefined || change.ruleId === wanted),
      revision: async () => String(this.changes.length),
    };
  }

  #inbox(): RouterParts["inbox"] {
    const mine = (tenantId: string, wanted: string) =>
      this.conversations.find((one) => one.id === wanted && one.tenantId === tenantId);
    return {
      put: async () => Promise.reject(new Error("not asked by the API")),
      ack: async () => "unknown",
      sent: async () => undefined,
      message: async () => undefined,
      conversation: async (tenantId, wanted) => mine(tenantId, wanted),
      conversations: async (query) =>
        pageOf(
          this.conversations
            .filter(
              (one) =>
                one.tenantId === query.tenantId &&
                (query.unreadOnly !== true || one.unread > 0) &&
                (query.state === undefined || one.state === query.state),
            )
            .toSorted((a, b) => (b.lastMessage?.at ?? 0) - (a.lastMessage?.at ?? 0)),
          query,
        ),
      messages: async (query) =>
        pageOf(this.messages.filter((one) => one.conversationId === query.conversationId).toReversed(), query),
      change: async (tenantId, wanted, change) => {
        if (mine(tenantId, wanted) === undefined) return undefined;
        this.#touch(wanted, ({ assignee, ...one }) => ({
          ...one,
          ...(change.state === undefined ? {} : { state: change.state }),
          ...(change.read === true ? { unread: 0 } : {}),
          ...(typeof (change.assignee ?? assignee) === "string" && change.assignee !== null
            ? { assignee: change.assignee ?? assignee ?? "" }
            : {}),
        }));
        return mine(tenantId, wanted);
      },
    };
  }

  #touch(
    wanted: string,
    change: (one: Conversation & { readonly tenantId: string }) => Conversation & { readonly tenantId: string },
  ): void {
    const i = this.conversations.findIndex((one) => one.id === wanted);
    const before = this.conversations[i];
    if (before !== undefined) this.conversations[i] = change(before);
  }

  async #send(request: SendRequest): ReturnType<RouterParts["service"]["send"]> {
    this.sent.push(request);
    const { to, content, by } = request;
    const conversationId =
      "conversationId" in to
        ? to.conversationId
        : (this.conversations.find(({ channel }) => channel === to.channel)?.id ?? "");
    if (conversationId === "")
      return { ok: false, status: 404, code: "channel_not_found", message: "No such channel." };
    const at = this.clock.now();
    const message: Message = {
      id: this.newId(),
      conversationId,
      direction: "out",
      content,
      state: "queued",
      author: by,
      at,
    };
    this.messages.push(message);
    const preview = content.type === "text" ? content.text : content.type;
    this.#touch(conversationId, (one) => ({ ...one, lastMessage: { at, direction: "out", preview } }));
    this.tell({ tenantId: request.tenantId, kind: "message", conversationId, messageId: message.id });
    return { ok: true, value: message };
  }
}

/** The cursor of a page is the number of items before it. */
function pageOf<T>(all: readonly T[], { cursor, limit }: PageQuery): Page<T> {
  const from = Number(cursor ?? 0);
  const items = all.slice(from, from + limit);
  return from + limit < all.length ? { items, next: String(from + limit) } : { items };
}
