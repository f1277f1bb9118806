import { randomBytes } from "node:crypto";
import { newEvent } from "#core/event/draft.ts";
import type { CommunicationEvent } from "#core/event/event.ts";
import type { JsonObject } from "#core/json.ts";
import type { OutgoingMessage, SendOutcome } from "#core/message/message.ts";
import { systemClock } from "#engine/system-clock.ts";
import type { Endpoint, WebhookOutcome } from "#router/ports.ts";
import { EventRouter } from "#router/router.ts";
import { openStore, type Store } from "#store/store.ts";
import { DEFAULT_TENANT } from "#store/tenant.ts";
import type { TestDatabase } from "#test/support/database.ts";
import { type QuietLog, quietLog } from "#test/support/quiet-log.ts";

/** The outside that several nodes share: a gateway and a webhook that note what they were given. */
export class Outside {
  readonly sent: OutgoingMessage[] = [];
  readonly delivered: CommunicationEvent[] = [];
  /** What the gateway says to a message; everything is taken unless a test says otherwise. */
  answer: (message: OutgoingMessage) => SendOutcome | Promise<SendOutcome> = () => this.taken();
  answerWebhook: (event: CommunicationEvent, endpoint: Endpoint) => Partial<WebhookOutcome> = () => ({ ok: true });
  #messages = 0;

  taken(): SendOutcome {
    this.#messages += 1;
    return { ok: true, providerMessageId: `native-${this.#messages}` };
  }

  texts(): readonly string[] {
    return this.sent.map(({ content }) => (content.type === "text" ? content.text : content.type));
  }
}

export const refused = (retryable: boolean): SendOutcome => ({
  ok: false,
  failure: { code: "refused", message: "not now", httpStatus: 503, retryable, uncertain: false },
});

/** One node: a store of its own on the shared database, and a router. */
export interface RouterNode {
  readonly store: Store;
  readonly router: EventRouter;
  readonly log: QuietLog;
  stop(): Promise<void>;
}

export async function startNode(database: TestDatabase, outside: Outside): Promise<RouterNode> {
  const log = quietLog();
  const store = await openStore({ log, clock: systemClock, version: "test", url: database.url });
  const sender = {
    send: async (message: OutgoingMessage) => {
      outside.sent.push(message);
      return outside.answer(message);
    },
  };
  const router = new EventRouter({
    queue: store.queue,
    events: store.events,
    effects: store.effects,
    rules: store.rules,
    channels: store.channels,
    contacts: store.contacts,
    inbox: store.conversations,
    endpoints: store.endpoints,
    deliveries: store.deliveries,
    senders: { wpp_gateway: sender },
    webhooks: {
      deliver: async (event, endpoint) => {
        outside.delivered.push(event);
        const attempt = { at: Date.now(), tookMs: 1, status: 200 };
        return { ok: true, attempt, ...outside.answerWebhook(event, endpoint) } as WebhookOutcome;
      },
    },
    clock: systemClock,
    log,
    random: () => randomBytes(32),
    schedule: (attempts) => (attempts < 5 ? 50 : undefined),
  });
  await router.start();
  const stop = async () => {
    await router.stop();
    await store.close();
  };
  return { store, router, log, stop };
}

/** A channel of the gateway, and one rule that sends the payload's text to the payload's phone. */
export async function furnish({ store }: RouterNode): Promise<void> {
  await store.channels.put({
    tenantId: DEFAULT_TENANT,
    provider: "wpp_gateway",
    channelId: "gateway-1",
    state: "connected",
    enabled: true,
  });
  await store.rules.create(
    DEFAULT_TENANT,
    {
      name: "notices",
      enabled: true,
      priority: 1,
      eventType: "notice.*",
      actions: [
        {
          type: "send_message",
          to: "{{payload.phone}}",
          content: { type: "text", text: "{{payload.text}}" },
        },
      ],
      onMatch: "stop",
    },
    "test",
  );
}

let made = 0;

/** A notice to one phone; those to one phone are one conversation. */
export function notice(phone: string, text: string, more: JsonObject = {}) {
  made += 1;
  const now = Date.now();
  return newEvent(
    {
      sourceSystem: "billing",
      externalId: `n-${made}`,
      type: "notice.sent",
      payload: { phone, text, ...more },
      payloadVersion: 1,
      conversationKey: `billing/${phone}`,
      occurredAt: now,
    },
    { tenantId: DEFAULT_TENANT, receivedAt: now },
    randomBytes(32),
  );
}
