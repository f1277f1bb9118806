import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newEvent } from "#core/event/draft.ts";
import { conversationKey, type NewEvent } from "#core/event/event.ts";
import { systemClock } from "#engine/system-clock.ts";
import { EventRouter } from "#router/router.ts";
import { createLog } from "#src/log.ts";
import { openStore, type Store } from "#store/store.ts";
import { DEFAULT_TENANT } from "#store/tenant.ts";
import type { Bench, Figure } from "./report.ts";

/**
 * From the insert of an event to its effect being done and committed, on a real Postgres with its usual durability. The provider
 * answers at once, so that what is measured is ours.
 */

const CHANNELS = 4;
const CONVERSATIONS = 1_000;
/** Events that are under way at once, in the sustained load. */
const UNDER_WAY = 256;
const WARM_UP_EVENTS = 1_000;
const SUSTAINED_MS = 5_000;
const IDLE_EVENTS = 150;

interface World {
  readonly store: Store;
  readonly router: EventRouter;
  /** Resolves when the effect of this event is committed. */
  done(event: NewEvent): Promise<void>;
}

type Kind = "to a customer" | "into the inbox";

let made = 0;

function eventOf(kind: Kind): NewEvent {
  made += 1;
  const person = `55119${90_000_000 + (made % CONVERSATIONS)}`;
  const channelId = `gateway-${made % CHANNELS}`;
  const now = Date.now();
  const inbound = kind === "into the inbox";
  return newEvent(
    {
      sourceSystem: inbound ? "wpp_gateway" : "billing",
      externalId: `event-${made}`,
      type: inbound ? "whatsapp.inbound.message" : "bench.notice",
      payload: {
        message_id: `native-in-${made}`,
        from: { phone: person, name: "Ana" },
        chat: { kind: "direct", id: person },
        from_me: false,
        content: { type: "text", text: `mensagem ${made}` },
        customer: { phone: person },
        amount: made,
      },
      payloadVersion: 1,
      provider: "wpp_gateway",
      channelId,
      conversationKey: conversationKey("wpp_gateway", channelId, { kind: "phone", value: person }),
      occurredAt: now,
    },
    { tenantId: DEFAULT_TENANT, receivedAt: now },
    randomBytes(32),
  );
}

async function open(folder: string): Promise<World> {
  const log = createLog({ level: "error", pretty: false, redact: { phoneNumbers: "masked" } });
  const store = await openStore({ log, clock: systemClock, version: "bench", dataDir: folder });
  for (let channel = 0; channel < CHANNELS; channel += 1) {
    const channelId = `gateway-${channel}`;
    const row = {
      tenantId: DEFAULT_TENANT,
      provider: "wpp_gateway",
      channelId,
      state: "connected",
      enabled: true,
    } as const;
    await store.channels.put(row);
  }
  await store.rules.create(
    DEFAULT_TENANT,
    {
      name: "bench",
      enabled: true,
      priority: 1,
      eventType: "bench.*",
      condition: "payload.amount > 0",
      actions: [
        {
          type: "send_message",
          to: "{{payload.customer.phone}}",
          content: { type: "text", text: "Fatura {{payload.amount}}" },
        },
      ],
      onMatch: "stop",
    },
    "bench",
  );
  const waiting = new Map<string, () => void>();
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
    senders: { wpp_gateway: { send: async ({ id }) => ({ ok: true, providerMessageId: `native-${id}` }) } },
    webhooks: { deliver: async () => Promise.reject(new Error("no webhook is measured here")) },
    clock: systemClock,
    log,
    random: () => randomBytes(32),
    schedule: () => undefined,
  });
  await router.start();
  // A message that was queued is told of once when it is stored, and again when it is sent and committed.
  const stored = new Set<string>();
  const finish = (key: string): void => {
    waiting.get(key)?.();
    waiting.delete(key);
  };
  const ofMessage = new Map<string, string>();
  router.watch((change) => {
    if (change.kind === "event" && change.status === "processed") finish(change.eventId);
    if (change.kind !== "message") return;
    if (!stored.delete(change.messageId)) stored.add(change.messageId);
    else finish(ofMessage.get(change.messageId) ?? "");
  });
  const put = store.conversations.put.bind(store.conversations);
  store.conversations.put = async (message) => {
    if (message.direction === "out") ofMessage.set(message.id, message.eventId ?? "");
    return put(message);
  };
  const done = (event: NewEvent) => new Promise<void>((resolve) => waiting.set(event.eventId, resolve));
  return { store, router, done };
}

async function one(world: World, kind: Kind): Promise<number> {
  const event = eventOf(kind);
  const begun = performance.now();
  const done = world.done(event);
  await world.store.intake.accept(event);
  await done;
  return performance.now() - begun;
}

async function idle(world: World, kind: Kind): Promise<Figure> {
  const took: number[] = [];
  for (let event = 0; event < IDLE_EVENTS; event += 1) {
    took.push(await one(world, kind));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const { p50, p99 } = spreadOf(took);
  return {
    name: `insert → effect done, ${kind}, idle`,
    value: p50,
    unit: "ms",
    must: { atMost: 20 },
    note: `p99 ${p99.toFixed(1)} ms`,
  };
}

async function sustained(world: World, kind: Kind): Promise<Figure> {
  const took: number[] = [];
  const begun = performance.now();
  const until = begun + SUSTAINED_MS;
  const client = async () => {
    while (performance.now() < until) took.push(await one(world, kind));
  };
  await Promise.all(Array.from({ length: UNDER_WAY }, client));
  const seconds = (performance.now() - begun) / 1_000;
  const { p50, p99 } = spreadOf(took);
  return {
    name: `events ${kind}, sustained`,
    value: took.length / seconds,
    unit: "events/s",
    must: { atLeast: 1_000 },
    note: `${UNDER_WAY} under way; p50 ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms`,
  };
}

function spreadOf(values: readonly number[]): { readonly p50: number; readonly p99: number } {
  const sorted = values.toSorted((x, y) => x - y);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { p50: at(0.5), p99: at(0.99) };
}

async function run(log: (line: string) => void): Promise<readonly Figure[]> {
  // Made by the launcher, because as root Postgres runs as another user.
  const folder = join(tmpdir(), `ponte-bench-${randomBytes(6).toString("hex")}`);
  let world: World | undefined;
  try {
    world = await open(folder);
    const opened = world;
    log(`warm-up: ${WARM_UP_EVENTS} events`);
    await Promise.all(
      Array.from({ length: WARM_UP_EVENTS }, (_, n) => one(opened, n % 2 ? "to a customer" : "into the inbox")),
    );
    const figures: Figure[] = [];
    for (const kind of ["into the inbox", "to a customer"] as const) {
      log(`${IDLE_EVENTS} events ${kind}, one at a time`);
      figures.push(await idle(world, kind));
      log(`${SUSTAINED_MS / 1_000} s of events ${kind}, ${UNDER_WAY} under way`);
      figures.push(await sustained(world, kind));
    }
    return figures;
  } finally {
    await world?.router.stop();
    await world?.store.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

export const routerBench: Bench = {
  name: "router",
  says: "Events through intake, rules, queue and effects, on a Postgres of its own.",
  run,
};
