import { systemClock } from "#media/transport/system-clock.ts";
import { ApiServer } from "#sandbox/api-server.ts";
import type { Clock } from "#sandbox/clock.ts";
import { Faults } from "#sandbox/faults.ts";
import { HttpClient } from "#sandbox/http-client.ts";
import { seededRandom } from "#sandbox/random.ts";
import type { RelayPort } from "#sandbox/relay/ports.ts";
import { CallWebhooks } from "./call-webhooks.ts";
import { type CallRequest, Calls, type PlacedCall, type UserPhone } from "./calls.ts";
import type { Fault } from "./faults.ts";
import { Graph } from "./graph.ts";
import { graphHttp } from "./graph-http.ts";
import { MetaLog } from "./log.ts";
import { Messages } from "./messages.ts";
import { defaultModes, type Modes } from "./modes.ts";
import type { BusinessNumber, CallingSettings } from "./numbers.ts";
import type { Action } from "./rule.ts";
import { defaultWebhookTimings, WebhookSender, type WebhookTarget, type WebhookTimings } from "./webhook-sender.ts";

export interface MetaOptions {
  /** Media of the calls; started and stopped together with Meta. */
  readonly relay: RelayPort;
  readonly numbers: readonly BusinessNumber[];
  readonly accessToken: string;
  /** For ring times, call ids and challenges. */
  readonly seed?: number;
  readonly clock?: Clock;
  readonly host?: string;
  /** 0, the default: any free one. */
  readonly port?: number;
  /** How long the user's phone rings, drawn for each call. */
  readonly ringMs?: { readonly min: number; readonly max: number };
  readonly webhookTimings?: Partial<WebhookTimings>;
  readonly modes?: Partial<Modes>;
}

/** "About 30 to 60 s" by Meta's documentation. */
const RING_MS = { min: 30_000, max: 60_000 };

/**
 * A simulated Meta for user-initiated calls and messages: the Graph API with its refusals, the webhooks, and a relay for the media. For
 * ponte it differs from the real one in base URL and credentials only.
 */
export class SimulatedMeta {
  /** Graph requests that shall go wrong. */
  readonly faults: Faults<Action, Fault>;
  /** Everything that happened. */
  readonly log: MetaLog;
  /** What users and business numbers write to each other. */
  readonly messages: Messages;
  /** How calls that start from now on behave. */
  modes: Modes;

  readonly #options: MetaOptions;
  readonly #numbers: ReadonlyMap<string, BusinessNumber>;
  readonly #settings: ReadonlyMap<string, CallingSettings>;
  readonly #client = new HttpClient();
  readonly #sender: WebhookSender;
  readonly #webhooks: CallWebhooks;
  readonly #calls: Calls;
  readonly #server: ApiServer;

  constructor(options: MetaOptions) {
    const clock = options.clock ?? systemClock;
    const random = seededRandom(options.seed ?? 1);
    this.#options = options;
    this.faults = new Faults(random);
    this.modes = { ...defaultModes, ...options.modes };
    this.log = new MetaLog(() => clock.now());
    this.#numbers = new Map(options.numbers.map((number) => [number.phoneNumberId, number]));
    this.#settings = new Map(
      options.numbers.map((number) => [number.phoneNumberId, { status: "ENABLED", sip: "DISABLED" }]),
    );
    const timings = { ...defaultWebhookTimings, ...options.webhookTimings };
    this.#sender = new WebhookSender({ clock, random, send: this.#client.send, log: this.log, timings });
    this.#webhooks = new CallWebhooks(clock, (delivery) => this.#sender.deliver(delivery));
    this.#calls = new Calls({
      clock,
      random,
      log: this.log,
      relay: options.relay,
      webhooks: this.#webhooks,
      ringMs: options.ringMs ?? RING_MS,
    });
    this.messages = new Messages({
      clock,
      random,
      numbers: this.#numbers,
      deliver: (delivery) => this.#sender.deliver(delivery),
    });
    const graph = new Graph({
      random,
      log: this.log,
      calls: this.#calls,
      messages: this.messages,
      faults: this.faults,
      numbers: this.#numbers,
      settings: this.#settings,
      tokens: new Set([options.accessToken]),
      modes: () => this.modes,
    });
    this.#server = new ApiServer(clock, graphHttp(graph));
  }

  /** Opens the Graph API and the relay. Webhooks flow after `subscribe`. Rejects with the system's error when a port is taken. */
  async start(): Promise<{ readonly graphUrl: string }> {
    const { relay, host = "127.0.0.1", port = 0 } = this.#options;
    try {
      await relay.start();
      return { graphUrl: await this.#server.start(host, port) };
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.#calls.stop();
    this.#webhooks.stop();
    this.#sender.stop();
    this.#client.close();
    await this.#server.stop();
    await this.#options.relay.stop();
  }

  /** Tells Meta where webhooks go; it verifies the address at once. False: the challenge did not come back. */
  subscribe(target: WebhookTarget): Promise<boolean> {
    return this.#sender.subscribe(target);
  }

  /** A WhatsApp user calls a business number. Throws RangeError when there is no such number here. */
  placeCall(request: CallRequest, phone: UserPhone): PlacedCall {
    const number = this.#numbers.get(request.phoneNumberId);
    if (number === undefined) throw new RangeError(`no business number has the id ${request.phoneNumberId}`);
    // Somebody who calls may be written to.
    this.messages.heard(request.user, request.phoneNumberId);
    return this.#calls.place(request, number, { ...this.modes, ...request.modes }, phone);
  }

  /** Calling and SIP switches of a number; may be changed. */
  settingsOf(phoneNumberId: string): CallingSettings | undefined {
    return this.#settings.get(phoneNumberId);
  }

  liveCalls(): number {
    return this.#calls.live();
  }

  /** Resolves when no webhook is waiting or under way. */
  idle(): Promise<void> {
    return this.#sender.idle();
  }
}
