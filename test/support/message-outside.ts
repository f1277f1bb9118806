import { setTimeout as pause } from "node:timers/promises";
import { SimulatedGateway } from "#sandbox/wpp/gateway.ts";
import { DaemonProcess } from "#test/support/daemon-process.ts";
import { freePort } from "#test/support/free-port.ts";
import { Hook } from "#test/support/gateway.ts";
import { eventually, type NotYet } from "#test/support/world.ts";

export type Row = Readonly<Record<string, unknown>>;

const API_KEY = "ponte_test_key-that-is-long-enough";
const INGESTION_SECRET = "what internal systems say";
export const CHANNEL = "shop";
/** Between two attempts of an internal system whose event was not taken. */
const REPEAT_MS = 50;
/** Longer than any test waits: a node that was killed is found out, its lanes and its webhooks come back. */
const SETTLE_MS = 90_000;

/** An event as an internal system tells it, and tells it again until it is taken. */
export interface Order {
  /** Digits; orders of one customer stay in order. */
  readonly customer: string;
  readonly text: string;
}

/** What is around a daemon that runs as a process of its own: a gateway with phones, internal systems, and a webhook's target. */
export class MessageOutside {
  readonly gateway: SimulatedGateway;
  readonly hook = new Hook();
  /** Ids of the events that the daemon has acknowledged, by their texts. */
  readonly acknowledged = new Map<string, string>();
  /** Attempts of `POST /api/events` that were not answered with 200. */
  refusals = 0;
  /** The test is over, also where it failed: nobody goes on. */
  ended = false;
  /** The daemon's, the same for each of its lives. */
  readonly #httpPort: number;
  readonly #gatewayUrl: string;
  #daemon: DaemonProcess | undefined;

  private constructor(gateway: SimulatedGateway, gatewayUrl: string, httpPort: number) {
    this.gateway = gateway;
    this.#gatewayUrl = gatewayUrl;
    this.#httpPort = httpPort;
  }

  static async start(): Promise<MessageOutside> {
    const retryDelaysMs = [50, 100, ...Array.from({ length: 600 }, () => 200)];
    const gateway = new SimulatedGateway({
      secret: "the gateway's secret",
      webhookTimings: { timeoutMs: 5_000, retryDelaysMs },
    });
    const [{ url }, httpPort] = await Promise.all([gateway.start(), freePort()]);
    const outside = new MessageOutside(gateway, url, httpPort);
    await outside.hook.start();
    return outside;
  }

  /** Starts the daemon's next life. */
  async startDaemon(database: Row): Promise<DaemonProcess> {
    this.#daemon = await DaemonProcess.start({
      calling: { enabled: false },
      sip: { port: 0 },
      media: { bind_address: ["127.0.0.1"], public_port: 0, sip_bind_address: "127.0.0.1", workers: 1 },
      wpp: { base_url: this.#gatewayUrl, secret: "the gateway's secret" },
      events: { ingestion_secret: INGESTION_SECRET },
      webhooks: { allow_private: true },
      http: { port: this.#httpPort, api_key: API_KEY },
      database,
      log: { format: "json" },
    });
    return this.#daemon;
  }

  /** Kills the daemon without a chance to clean up. May be called twice. */
  async killDaemon(): Promise<void> {
    await this.#daemon?.kill();
    this.#daemon = undefined;
  }

  /** For failures: how requests of both kinds fared, and what the daemon said last. */
  story(): Row {
    const webhooks = Object.groupBy(this.gateway.log.webhooks(), ({ event, status }) => `${event} ${status}`);
    return {
      acknowledged: this.acknowledged.size,
      refusals: this.refusals,
      webhooks: Object.fromEntries(Object.entries(webhooks).map(([what, all]) => [what, all?.length])),
      log: this.#daemon?.lines.slice(-20),
    };
  }

  /** The first log line of this life with these words. */
  said(words: string): Promise<Row> {
    return eventually(`the log to say “${words}”`, async () =>
      this.#daemon?.lines.find(({ msg }) => msg.includes(words)),
    );
  }

  /**
   * Connects the channel, and sets the rules: who writes is answered with their own words, an order is told to its customer, and to
   * the webhook's target.
   */
  async onboard(): Promise<{ readonly endpointId: string }> {
    const { id } = await this.api("POST", "/v1/channels", { channel_id: CHANNEL });
    this.gateway.connect(CHANNEL, "5511900000000");
    const channel = await this.api("POST", `/v1/channels/${id}/refresh`, {});
    if (channel["webhook_configured"] !== true) throw new Error(`no webhook: ${JSON.stringify(channel)}`);
    const text = (words: string) => ({ type: "text", text: words });
    await this.api("POST", "/v1/rules", {
      name: "Echo",
      priority: 10,
      event_type: "whatsapp.inbound.message",
      actions: [{ type: "inbox" }, { type: "send_message", content: text("{{payload.content.text}}") }],
    });
    await this.api("POST", "/v1/rules", {
      name: "Orders",
      priority: 10,
      event_type: "order.*",
      actions: [{ type: "send_message", to: "{{payload.customer}}", content: text("{{payload.text}}") }],
    });
    const { endpoint } = await this.api("POST", "/v1/endpoints", {
      url: this.hook.url,
      events: ["order.*"],
      allow_private: true,
    });
    return { endpointId: String((endpoint as Row)["id"]) };
  }

  /** Asks the API, with the key; throws unless it is done. */
  async api(method: "GET" | "POST", path: string, body?: Row): Promise<Row> {
    const response = await this.#fetch(method, path, { authorization: `Bearer ${API_KEY}` }, body);
    const answer = (await response.json()) as Row;
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
    return answer;
  }

  /** All pages of a list. */
  async all(path: string, name: string): Promise<readonly Row[]> {
    const rows: Row[] = [];
    for (let cursor = ""; ; ) {
      const page = await this.api("GET", `${path}${path.includes("?") ? "&" : "?"}limit=200${cursor}`);
      rows.push(...(page[name] as readonly Row[]));
      if (typeof page["next"] !== "string") return rows;
      cursor = `&cursor=${page["next"]}`;
    }
  }

  /** Tells of an order, again and again until it is acknowledged. */
  async order(order: Order): Promise<void> {
    while (!this.ended) {
      const id = await this.#tell(order).catch(() => undefined);
      if (id !== undefined) {
        this.acknowledged.set(order.text, id);
        return;
      }
      this.refusals += 1;
      await pause(REPEAT_MS);
    }
  }

  /** Waits until all webhooks were taken and every event has come to an end; gives all events. */
  async settled(): Promise<readonly Row[]> {
    await eventually("every event's coming to an end", () => this.#open(), SETTLE_MS);
    return this.all("/v1/event-log", "events");
  }

  /** The texts that one person was sent, in their order. */
  sentTo(number: string): readonly string[] {
    return this.gateway.outbox.sent().flatMap(({ chat, text }) => (chat === `${number}@c.us` ? [text] : []));
  }

  async stop(): Promise<void> {
    this.ended = true;
    // Politely, because an embedded Postgres outlives a kill by a moment, and writes into a folder that is being removed.
    this.#daemon?.signal("SIGTERM");
    await this.#daemon?.ended;
    await this.gateway.stop();
    await this.hook.stop();
  }

  /** An event that waits for something, with all that is known of it. */
  async #open(): Promise<true | NotYet> {
    for (const status of ["received", "routed", "failed"]) {
      await this.gateway.idle();
      const { events } = await this.api("GET", `/v1/event-log?status=${status}&limit=1`);
      const [open] = events as readonly Row[];
      if (open !== undefined) return { missing: await this.api("GET", `/v1/event-log/${open["event_id"]}`) };
    }
    return true;
  }

  async #tell({ customer, text }: Order): Promise<string | undefined> {
    const response = await this.#fetch(
      "POST",
      "/api/events",
      { "x-event-ingestion-secret": INGESTION_SECRET },
      {
        event_type: "order.paid",
        source_system: "shop",
        external_id: text,
        conversation_key: customer,
        payload: { customer, text },
      },
    );
    const answer = (await response.json()) as Row;
    if (response.status === 400) throw new Error(JSON.stringify(answer));
    return response.status === 200 ? String(answer["event_id"]) : undefined;
  }

  #fetch(method: string, path: string, headers: Record<string, string>, body?: Row): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.#httpPort}${path}`, {
      method,
      headers: {
        connection: "close",
        ...headers,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }
}
