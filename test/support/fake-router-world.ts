import type { Channel } from "#core/channel/channel.ts";
import { type Contact, isSame } from "#core/contact/identity.ts";
import { type CommunicationEvent, type EventId, idempotencyKey, type NewEvent } from "#core/event/event.ts";
import type { Message, OutgoingMessage, SendOutcome } from "#core/message/message.ts";
import type { Rule } from "#core/rule/rule.ts";
import { laneKey } from "#router/jobs.ts";
import type {
  ChannelDirectoryPort,
  ContactPort,
  Conversation,
  Delivery,
  DeliveryStorePort,
  EffectLedgerPort,
  Endpoint,
  EndpointStorePort,
  EventIntakePort,
  EventLogPort,
  InboxPort,
  NewMessage,
  RuleStorePort,
  WebhookOutcome,
} from "#router/ports.ts";
import type { RouterWorld } from "#router/world.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { FakeQueue } from "#test/support/fake-queue.ts";
import { fakeChannel, fakeEndpoint, fakeRule, TENANT } from "#test/support/fake-router-values.ts";
import { type QuietLog, quietLog } from "#test/support/quiet-log.ts";

/**
 * What the router needs of the world, in memory: as strict as the real one about order, leases and repetitions, and without its
 * waits. What no test of the router asks for (pages of lists, secrets) rejects.
 */

function notHere(what: string): () => Promise<never> {
  return () => Promise.reject(new Error(`the fake world has no ${what}`));
}

/** A message as the fake inbox keeps it. */
export type FakeMessage = Message & { readonly tenantId: string; readonly contactId: string; readonly channel: string };

export interface FakeWorldOptions {
  readonly channels?: readonly Partial<Channel>[];
  readonly rules?: readonly Partial<Rule>[];
  readonly endpoints?: readonly Partial<Endpoint>[];
}

/** A whole world with its knobs: what senders and webhooks answer next, and what they were given. */
export class FakeRouterWorld implements RouterWorld {
  readonly clock = new FakeClock();
  readonly log: QuietLog = quietLog();
  readonly stored = new Map<EventId, CommunicationEvent>();
  readonly queue = new FakeQueue(this.clock, this.stored);
  readonly effects: EffectLedgerPort = this.queue;
  readonly sent: OutgoingMessage[] = [];
  readonly delivered: { readonly eventId: EventId; readonly endpointId: string }[] = [];
  readonly inboxMessages: FakeMessage[] = [];
  readonly deliveryRows: Delivery[] = [];
  readonly channelRows: Channel[];
  readonly endpointRows: Endpoint[];
  ruleRows: Rule[];
  /** Answers of the provider, first one first; then everything is sent. */
  readonly sendOutcomes: (SendOutcome | (() => Promise<SendOutcome>))[] = [];
  readonly webhookOutcomes: WebhookOutcome[] = [];
  readonly #contacts: Contact[] = [];
  #revision = 1;
  #random = 1;

  constructor({ channels = [{}], rules = [], endpoints = [] }: FakeWorldOptions = {}) {
    this.channelRows = channels.map((channel, index) => ({ ...fakeChannel(index), ...channel }));
    this.ruleRows = rules.map((rule, index) => fakeRule(rule, index));
    this.endpointRows = endpoints.map((endpoint, index) => ({ ...fakeEndpoint(index), ...endpoint }));
  }

  readonly random = (): Uint8Array => {
    this.#random += 1;
    return Uint8Array.from({ length: 32 }, (_, index) => (this.#random >> ((index % 4) * 8)) & 0xff);
  };

  readonly senders = {
    wpp_gateway: { send: (message: OutgoingMessage) => this.#send(message) },
    cloud_api: { send: (message: OutgoingMessage) => this.#send(message) },
  };

  readonly webhooks = {
    deliver: async (event: CommunicationEvent, endpoint: Endpoint): Promise<WebhookOutcome> => {
      this.delivered.push({ eventId: event.eventId, endpointId: endpoint.id });
      return this.webhookOutcomes.shift() ?? { ok: true, attempt: { at: this.clock.now(), tookMs: 1, status: 200 } };
    },
  };

  readonly intake: EventIntakePort = {
    accept: async (event) => {
      const key = idempotencyKey(event);
      const known = [...this.stored.values()].find((one) => one.idempotencyKey === key);
      const { eventId: id, traceId } = known ?? event;
      if (known === undefined) {
        this.stored.set(id, { ...event, idempotencyKey: key, status: "received", attempts: 0, conflicts: 0 });
        if (event.tenantId !== undefined) await this.route(event);
      }
      return { eventId: id, traceId, duplicate: known !== undefined, conflict: false };
    },
  };

  readonly events: EventLogPort = {
    get: async (_tenantId, id) => this.stored.get(id),
    load: async (id) => this.stored.get(id),
    list: notHere("list of events"),
    trace: notHere("trace"),
    unpark: notHere("parked events"),
    replay: async ({ eventIds = [], repeat = false }) => {
      for (const id of eventIds) {
        const event = this.stored.get(id);
        if (event !== undefined) await this.route(event, repeat ? 1 : 0);
      }
      return eventIds.length;
    },
  };

  readonly rules: RuleStorePort = {
    list: async () => this.ruleRows,
    get: async (_tenantId, id) => this.ruleRows.find((rule) => rule.id === id),
    create: notHere("creation of rules"),
    change: notHere("change of rules"),
    remove: notHere("removal of rules"),
    history: notHere("history of rules"),
    revision: async () => String(this.#revision),
  };

  readonly channels: ChannelDirectoryPort = {
    find: async (provider, id) => this.channelRows.find((one) => one.provider === provider && one.channelId === id),
    get: async (tenantId, id) => this.channelRows.find((one) => one.tenantId === tenantId && one.id === id),
    list: async (tenantId) => this.channelRows.filter((one) => one.tenantId === tenantId),
    change: async (id, change) => {
      const index = this.channelRows.findIndex((one) => one.id === id);
      const known = this.channelRows[index];
      if (known === undefined) return undefined;
      const changed = { ...known, ...change };
      this.channelRows[index] = changed;
      return changed;
    },
    put: notHere("new channels"),
    secret: notHere("secrets"),
    keepSecret: notHere("secrets"),
    remove: notHere("removal of channels"),
  };

  readonly contacts: ContactPort = {
    resolve: async (tenantId, identities, name) => {
      const same = (contact: Contact) =>
        contact.identities.some((one) => identities.some((other) => isSame(one, other)));
      const known = this.#contacts.find(same);
      if (known !== undefined) return known;
      const id = `contact-${this.#contacts.length + 1}`;
      const contact: Contact = { id, tenantId, identities, ...(name === undefined ? {} : { name }) };
      this.#contacts.push(contact);
      return contact;
    },
    reach: (tenantId, identities) => this.contacts.resolve(tenantId, identities),
    get: async (_tenantId, id) => this.#contacts.find((contact) => contact.id === id),
  };

  readonly inbox: InboxPort = {
    put: async (message) => this.#putMessage(message),
    ack: async ({ providerMessageId, status }) => {
      const known = this.inboxMessages.find((one) => one.providerMessageId === providerMessageId);
      if (known === undefined) return this.inboxMessages.some(({ state }) => state === "queued") ? "early" : "unknown";
      this.#changeMessage(known.id, { state: status });
      return { messageId: known.id, conversationId: known.conversationId };
    },
    sent: async (id, outcome) => {
      this.#changeMessage(id, "error" in outcome ? { state: "failed", ...outcome } : { state: "sent", ...outcome });
    },
    message: async (id) => this.inboxMessages.find((one) => one.id === id),
    conversation: async (_tenantId, id) => this.#conversation(id),
    conversations: notHere("list of conversations"),
    messages: notHere("list of messages"),
    change: notHere("change of conversations"),
  };

  readonly endpoints: EndpointStorePort = {
    list: async () => this.endpointRows,
    get: async (_tenantId, id) => this.endpointRows.find((one) => one.id === id),
    secrets: async () => ["secret"],
    noted: async () => false,
    create: notHere("new endpoints"),
    change: notHere("change of endpoints"),
    remove: notHere("removal of endpoints"),
    rotate: notHere("rotation"),
  };

  readonly deliveries: DeliveryStorePort = {
    begin: async ({ key, ...given }) => {
      const known = this.deliveryRows.find((one) => one.id === `delivery of ${key}`);
      if (known !== undefined) return known;
      const begun: Delivery = {
        ...given,
        id: `delivery of ${key}`,
        state: "pending",
        attempts: [],
        createdAt: this.clock.now(),
      };
      this.deliveryRows.push(begun);
      return begun;
    },
    attempt: async (id, attempt, then) => {
      const index = this.deliveryRows.findIndex((one) => one.id === id);
      const known = this.deliveryRows[index];
      if (known !== undefined) this.deliveryRows[index] = { ...known, ...then, attempts: [...known.attempts, attempt] };
    },
    get: notHere("single delivery"),
    list: notHere("list of deliveries"),
    replay: notHere("replay of deliveries"),
  };

  /** From now on other rules hold. */
  setRules(rules: readonly Partial<Rule>[]): void {
    this.ruleRows = rules.map((rule, index) => fakeRule(rule, index));
    this.#revision += 1;
  }

  async route(event: NewEvent, repeat = 0): Promise<void> {
    await this.queue.add([
      {
        lane: laneKey("route", TENANT, event.conversationKey),
        pool: "route",
        target: TENANT,
        tenantId: TENANT,
        handler: "route",
        payload: { event_id: event.eventId, repeat },
        eventId: event.eventId,
      },
    ]);
  }

  /** Lets everything that is under way come to its end. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }

  async #send(message: OutgoingMessage): Promise<SendOutcome> {
    this.sent.push(message);
    const next = this.sendOutcomes.shift();
    if (typeof next === "function") return next();
    return next ?? { ok: true, providerMessageId: `native-${this.sent.length}` };
  }

  #putMessage(given: NewMessage) {
    const known = this.inboxMessages.find(
      (one) =>
        one.id === given.id ||
        (one.providerMessageId !== undefined && one.providerMessageId === given.providerMessageId) ||
        (given.idem !== undefined && this.#idems.get(given.idem) === one.id),
    );
    if (known !== undefined) return { message: known, duplicate: true };
    const { idem, assignee: _assignee, ...rest } = given;
    const message: FakeMessage = { ...rest, conversationId: `${given.channel}/${given.contactId}` };
    if (idem !== undefined) this.#idems.set(idem, given.id);
    this.inboxMessages.push(message);
    return { message, duplicate: false };
  }

  readonly #idems = new Map<string, string>();

  #changeMessage(id: string, change: Partial<FakeMessage>): void {
    const index = this.inboxMessages.findIndex((one) => one.id === id);
    const known = this.inboxMessages[index];
    if (known !== undefined) this.inboxMessages[index] = { ...known, ...change };
  }

  #conversation(id: string): Conversation | undefined {
    const message = this.inboxMessages.find((one) => one.conversationId === id);
    const channel = this.channelRows.find((one) => one.id === message?.channel);
    const contact = this.#contacts.find((one) => one.id === message?.contactId);
    if (channel === undefined || contact === undefined) return undefined;
    const { provider, channelId } = channel;
    return { id, channel: channel.id, provider, channelId, contact, state: "open", unread: 0 };
  }
}
