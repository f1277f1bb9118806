import { createHmac } from "node:crypto";
import type { SimulatedGateway } from "#sandbox/wpp/gateway.ts";
import { eventually, TestWorld, type TestWorldOptions } from "#test/support/world.ts";

export type Row = Readonly<Record<string, unknown>>;

export interface Answer {
  readonly status: number;
  readonly body: Row;
}

export const INGESTION_SECRET = "ingestion-secret-of-a-test";
/** The number that the gateway's channel gets. */
export const BUSINESS = "5511900000000";

/** Tables whose rows a refused request must not touch. */
const TABLES = [
  "communication_events",
  "event_conflicts",
  "q_jobs",
  "effects",
  "messages",
  "conversations",
  "contacts",
  "webhook_inbox",
];

/** A test world, spoken to as operators, internal systems and phones do. */
export class MessageWorld {
  readonly world: TestWorld;

  private constructor(world: TestWorld) {
    this.world = world;
  }

  static async start(options: Partial<TestWorldOptions> = {}): Promise<MessageWorld> {
    const { settings, ...more } = options;
    const world = await TestWorld.start({
      numbers: { support: { target: "641" } },
      gateway: { webhookTimings: { retryDelaysMs: [50, 100, 200, 400] }, modes: { qr: "text" } },
      settings: { events: { ingestion_secret: INGESTION_SECRET }, ...settings },
      ...more,
    });
    return new MessageWorld(world);
  }

  get gateway(): SimulatedGateway {
    return this.world.sandbox.gateway;
  }

  get url(): string {
    return this.world.addresses.httpUrl;
  }

  get apiKey(): string {
    return this.world.addresses.newApiKey ?? "";
  }

  /** One request to the daemon. An object is sent as JSON, anything else as it is. */
  async request(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const isRaw = typeof body === "string" || Buffer.isBuffer(body);
    const response = await fetch(this.url + path, {
      method,
      headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      ...(body === undefined ? {} : { body: isRaw ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.startsWith("application/json") === true;
    return { status: response.status, body: isJson ? (JSON.parse(text) as Row) : { text } };
  }

  /** As an operator, with the API key. */
  api(method: string, path: string, body?: unknown): Promise<Answer> {
    return this.request(method, path, body, { authorization: `Bearer ${this.apiKey}` });
  }

  /** As an operator, where only success will do. */
  async ask(method: string, path: string, body?: unknown): Promise<Row> {
    const answer = await this.api(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** As an internal system. */
  tell(event: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    return this.request("POST", "/api/events", event, { "x-event-ingestion-secret": INGESTION_SECRET, ...headers });
  }

  async list(path: string, name: string): Promise<readonly Row[]> {
    return (await this.ask("GET", path))[name] as readonly Row[];
  }

  /** Enables WhatsApp, scans the code, and waits for the webhook to be set. */
  async onboard(name = "Front desk"): Promise<Row> {
    const { id } = await this.ask("POST", "/v1/channels", { name });
    const { text } = await eventually("a QR code", async () => {
      const { status, body } = await this.api("GET", `/v1/channels/${id}/qr`);
      return status === 200 ? body : { missing: body };
    });
    if (!this.gateway.scan(String(text), BUSINESS)) throw new Error("the code that ponte shows is nobody's");
    const channel = await this.ask("POST", `/v1/channels/${id}/refresh`);
    if (channel["webhook_configured"] !== true) throw new Error(`no webhook is set: ${JSON.stringify(channel)}`);
    return channel;
  }

  /** Waits for the conversation whose latest message reads like this. */
  conversation(preview: string): Promise<Row> {
    return eventually(`a conversation that ends with “${preview}”`, async () => {
      const all = await this.list("/v1/conversations", "conversations");
      const found = all.find((one) => (one["last_message"] as Row | undefined)?.["preview"] === preview);
      return found ?? { missing: all.map((one) => one["last_message"]) };
    });
  }

  /** Waits until a message of a conversation has reached a state. */
  message(conversation: unknown, id: unknown, state: string): Promise<Row> {
    return eventually(`the message to be ${state}`, async () => {
      const all = await this.list(`/v1/conversations/${conversation}/messages`, "messages");
      const found = all.find((one) => one["id"] === id);
      return found?.["state"] === state ? found : { missing: found };
    });
  }

  /** Waits until everything that an event asks for is done; gives it with what came of it. */
  settled(eventId: unknown): Promise<Row & { readonly event: Row; readonly effects: readonly Row[] }> {
    return eventually("the event to be settled", async () => {
      const trace = (await this.ask("GET", `/v1/event-log/${eventId}`)) as Row & {
        event: Row;
        effects: readonly Row[];
      };
      const done = ["processed", "failed", "dead", "ignored"].includes(String(trace.event["status"]));
      return done ? trace : { missing: trace };
    });
  }

  /** Waits until no event is on its way any more. */
  async quiet(): Promise<void> {
    await this.gateway.idle();
    await eventually("the events to be settled", async () => {
      const open = await Promise.all(
        ["received", "routed"].map((status) => this.list(`/v1/event-log?status=${status}`, "events")),
      );
      const left = open.flat();
      return left.length === 0 ? true : { missing: left };
    });
  }

  /** A rule, by the event type that it is for. */
  async rule(eventType: string): Promise<Row> {
    const rule = (await this.list("/v1/rules", "rules")).find((each) => each["event_type"] === eventType);
    if (rule === undefined) throw new RangeError(`there is no rule for ${eventType}`);
    return rule;
  }

  /** Changes a rule as the editor does: the whole of it, with its version. */
  async changeRule(rule: Row, change: Row): Promise<Row> {
    const { id, updated_at: _at, updated_by: _by, ...draft } = rule;
    return this.ask("PUT", `/v1/rules/${id}`, { ...draft, ...change });
  }

  /** Rows of the tables that requests from outside may fill. */
  rows(): Promise<Readonly<Record<string, number>>> {
    return this.world.counts(TABLES);
  }

  /** Signed as Meta signs, with one of the right secrets or another. */
  meta(body: string, secret = this.world.sandbox.config.meta.app_secrets[0] ?? ""): Promise<Answer> {
    const signature = `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
    return this.request("POST", "/webhooks/meta", body, { "x-hub-signature-256": signature });
  }

  /** Everything that was written to the gateway's channel and by it. */
  said(): readonly string[] {
    const exchanged = JSON.stringify(this.gateway.log.entries());
    return [...exchanged.matchAll(/\\*"(?:body|text)\\*":\\*"([^"\\]{6,})/g)].map(([, text = ""]) => text);
  }

  /** Stops everything; fails when the log tells what was said or by whom, somebody got something twice, or anything is left over. */
  async stop(): Promise<void> {
    await this.world.stop();
    const { secret = "" } = this.world.sandbox.config.wpp;
    const exchanged = JSON.stringify(this.gateway.log.entries());
    const people = [...exchanged.matchAll(/(\d{8,})@(?:c\.us|lid)/g)].map(([, number = ""]) => number);
    const personal = new Set([INGESTION_SECRET, BUSINESS, secret, ...people, ...this.said()]);
    const log = this.world.log.text();
    const told = [...personal].filter((text) => log.includes(text));
    if (told.length > 0) throw new Error(`the log tells ${told.join(", ")}`);
    const repeated = this.gateway.outbox.repeated();
    if (repeated.length > 0) throw new Error(`sent more than once: ${repeated.join(", ")}`);
  }
}
