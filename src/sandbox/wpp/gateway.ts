import { systemClock } from "#media/transport/system-clock.ts";
import { ApiServer } from "#sandbox/api-server.ts";
import type { Clock } from "#sandbox/clock.ts";
import type { WebhookTimings } from "#sandbox/courier.ts";
import { Faults } from "#sandbox/faults.ts";
import { HttpClient } from "#sandbox/http-client.ts";
import { seededRandom } from "#sandbox/random.ts";
import { GatewayApi } from "./api.ts";
import { Channels, type GatewayChannel } from "./channels.ts";
import { Chats, type Group } from "./chats.ts";
import type { GatewayAction, GatewayFault } from "./faults.ts";
import type { Forgery } from "./forgery.ts";
import { gatewayHttp } from "./gateway-http.ts";
import { GatewayLog } from "./log.ts";
import { defaultGatewayModes, type GatewayModes } from "./modes.ts";
import { Outbox } from "./outbox.ts";
import { messageOf } from "./payload.ts";
import type { Phone, PhoneOptions } from "./phone.ts";
import { type Said, text } from "./said.ts";
import { defaultGatewayTimings, type GatewayTarget, GatewayWebhooks } from "./webhooks.ts";

export interface GatewayOptions {
  /** Of the header `X-Gateway-Secret`. */
  readonly secret: string;
  /** For ids and QR codes. */
  readonly seed?: number;
  readonly clock?: Clock;
  readonly host?: string;
  /** 0, the default: any free one. */
  readonly port?: number;
  readonly webhookTimings?: Partial<WebhookTimings>;
  readonly modes?: Partial<GatewayModes>;
  /** WhatsApp shows a new code every 20 seconds. */
  readonly qrLifetimeMs?: number;
}

const QR_LIFETIME_MS = 20_000;

/**
 * A simulated WPPConnect-style gateway with WhatsApp behind it: the HTTP API, webhooks, and phones that people write on. For ponte
 * it differs from a real one in base URL and secret only.
 */
export class SimulatedGateway {
  /** Requests to the API that shall go wrong. */
  readonly faults: Faults<GatewayAction, GatewayFault>;
  /** Everything that happened. */
  readonly log: GatewayLog;
  /** What was sent over the API, and how often. */
  readonly outbox: Outbox;
  /** How it behaves from now on. */
  modes: GatewayModes;

  readonly #options: GatewayOptions;
  readonly #clock: Clock;
  readonly #client = new HttpClient();
  readonly #webhooks: GatewayWebhooks;
  readonly #channels: Channels;
  readonly #chats: Chats;
  readonly #server: ApiServer;
  #port: number;

  constructor(options: GatewayOptions) {
    const clock = options.clock ?? systemClock;
    const random = seededRandom(options.seed ?? 1);
    this.#options = options;
    this.#clock = clock;
    this.#port = options.port ?? 0;
    this.modes = { ...defaultGatewayModes, ...options.modes };
    const modes = (): GatewayModes => this.modes;
    this.faults = new Faults(random);
    this.log = new GatewayLog(() => clock.now());
    const timings = { ...defaultGatewayTimings, ...options.webhookTimings };
    this.#webhooks = new GatewayWebhooks({ clock, send: this.#client.send, log: this.log, timings, modes });
    this.#channels = new Channels({
      clock,
      random,
      log: this.log,
      webhooks: this.#webhooks,
      qrLifetimeMs: options.qrLifetimeMs ?? QR_LIFETIME_MS,
      onConnected: (channel) => this.#chats.release(channel.id),
    });
    this.#chats = new Chats({ clock, random, webhooks: this.#webhooks, channels: this.#channels, modes });
    this.outbox = new Outbox(this.#chats, modes);
    const api = new GatewayApi({
      secret: options.secret,
      log: this.log,
      faults: this.faults,
      channels: this.#channels,
      webhooks: this.#webhooks,
      outbox: this.outbox,
      modes,
    });
    this.#server = new ApiServer(clock, gatewayHttp(api));
  }

  /** Opens the API. Rejects with the system's error when the port is taken. */
  async start(): Promise<{ readonly url: string }> {
    const url = await this.#server.start(this.#options.host ?? "127.0.0.1", this.#port);
    this.#port = Number(new URL(url).port);
    return { url };
  }

  async stop(): Promise<void> {
    this.#chats.stop();
    this.#webhooks.stop();
    this.#client.close();
    await this.#server.stop();
  }

  /** Nobody listens at the API's address until `comeBack`. */
  goDown(): Promise<void> {
    return this.#server.stop();
  }

  /** The API is there again, at the same address, and knows everything. */
  async comeBack(): Promise<void> {
    await this.start();
  }

  channels(): readonly GatewayChannel[] {
    return this.#channels.list();
  }

  channel(id: string): GatewayChannel | undefined {
    return this.#channels.find(id);
  }

  /** Makes a channel with a phone and without anybody asking for it, for tests that begin later. */
  addChannel(id: string, phone: string, target?: GatewayTarget): void {
    this.#channels.create(id);
    if (target !== undefined) this.#webhooks.setTarget(target, id);
    this.#channels.connect(id, phone);
  }

  /** The text of the QR code that is on somebody's screen now; undefined: none, or it is too old. Throws RangeError. */
  code(channel: string): string | undefined {
    return this.#channels.code(channel);
  }

  /** A phone with this number points its camera at a QR code's text. False: the code is nobody's, or too old. */
  scan(qr: string, number: string): boolean {
    const channel = this.#channels.shows(qr);
    if (channel !== undefined) this.#channels.connect(channel.id, number);
    return channel !== undefined;
  }

  /** As if the right code had been scanned; also the way back for a channel that was lost. */
  connect(channel: string, number: string): void {
    this.#channels.connect(channel, number);
  }

  /** The phone has gone. What people write meanwhile comes when it is back. */
  disconnect(channel: string, reason = "disconnectedMobile"): void {
    this.#channels.disconnect(channel, reason);
  }

  /** The phone with this number, digits in the form in which WhatsApp knows it; made when there is none. */
  phone(number: string, options?: PhoneOptions): Phone {
    return this.#chats.phone(number, options);
  }

  group(name: string, members: readonly Phone[]): Group {
    return this.#chats.group(name, members);
  }

  /** What is sent to this phone from now on fails, which only its ack tells. */
  block(phone: Phone): void {
    this.#chats.block(phone);
  }

  /** Somebody writes on the business's own phone. Returns the message's id. Throws RangeError when it cannot. */
  writeOnBusinessPhone(channelId: string, to: string, said: string | Said): string {
    const channel = this.#channels.find(channelId);
    const recipient = this.#chats.find(to);
    if (channel?.phone === undefined || recipient === undefined) {
      throw new RangeError(`channel ${channelId} cannot write to ${to}`);
    }
    const message = this.#chats.write(channel, recipient, typeof said === "string" ? text(said) : said);
    this.#chats.depart(message, { echo: true });
    return message.id;
  }

  /** Sends the channel's webhook something that no gateway would. Resolves with the answer's status; 0: no answer. */
  forge(channel: string, forgery: Forgery, words = "forged"): Promise<number> {
    const at = this.#clock.now();
    const chat = "5511900000001@c.us";
    const message = this.#chats.stray(channel, chat, text(words));
    const proper = { event: "message", channel, at, data: messageOf(message), subject: message.id, chat } as const;
    return this.#webhooks.forge(channel, forgery, proper);
  }

  /** Resolves when no webhook is waiting or under way. */
  idle(): Promise<void> {
    return this.#webhooks.idle();
  }
}
