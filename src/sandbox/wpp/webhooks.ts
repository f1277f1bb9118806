import { createHmac } from "node:crypto";
import type { Clock } from "#sandbox/clock.ts";
import { Courier, type WebhookTimings } from "#sandbox/courier.ts";
import type { HttpSend } from "#sandbox/http-client.ts";
import { type Forgery, forge } from "./forgery.ts";
import type { GatewayLog } from "./log.ts";
import type { GatewayModes } from "./modes.ts";
import { bodyOf, type Envelope } from "./payload.ts";

/** Where webhooks go, and what proves where they come from. */
export interface GatewayTarget {
  readonly url: string;
  readonly secret?: string;
}

/** Patient for a minute; the real ones differ widely, and many do not repeat at all. */
export const defaultGatewayTimings: WebhookTimings = {
  delayMs: 0,
  timeoutMs: 10_000,
  retryDelaysMs: [500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000],
};

interface Options {
  readonly clock: Clock;
  readonly send: HttpSend;
  readonly log: GatewayLog;
  readonly timings: WebhookTimings;
  readonly modes: () => GatewayModes;
}

export interface Delivery extends Envelope {
  /** For the log and for `taken()`. */
  readonly subject: string;
  /** Deliveries with one key are made one after the other, if the modes say so. */
  readonly chat: string;
}

/** Delivers webhooks as a gateway does: to the channel's address or to everybody's, repeated with the same bytes. */
export class GatewayWebhooks {
  readonly #options: Options;
  readonly #courier: Courier;
  readonly #targets = new Map<string, GatewayTarget>();
  /** The last delivery of each chat. */
  readonly #tails = new Map<string, Promise<boolean>>();
  #everybody: GatewayTarget | undefined;
  #unordered = 0;

  constructor(options: Options) {
    this.#options = options;
    this.#courier = new Courier(options.clock, options.send);
  }

  /** For all channels, or for one, which then has its own. */
  setTarget(target: GatewayTarget, channel?: string): void {
    if (channel === undefined) this.#everybody = target;
    else this.#targets.set(channel, target);
  }

  targetOf(channel: string): GatewayTarget | undefined {
    return this.#targets.get(channel) ?? this.#everybody;
  }

  /** Resolves with true when somebody answered 2xx, false when nobody heard of it. */
  deliver(delivery: Delivery): Promise<boolean> {
    const { event, channel, subject } = delivery;
    if (this.targetOf(channel) === undefined) {
      this.#options.log.add({ kind: "unheard", event, channel, subject });
      return Promise.resolve(false);
    }
    const { order, envelope } = this.#options.modes();
    const body = bodyOf(delivery, envelope);
    const key = order === "per_chat" ? `${channel}/${delivery.chat}` : `${this.#unordered++}`;
    const tail = (this.#tails.get(key) ?? Promise.resolve(true)).then(() => this.#deliver(delivery, body));
    this.#tails.set(key, tail);
    void tail.finally(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    return tail;
  }

  /** Sends something that no gateway would; once. Resolves with the status of the answer, 0 when there was none. */
  async forge(channel: string, forgery: Forgery, proper: Delivery): Promise<number> {
    const target = this.targetOf(channel);
    if (target === undefined) throw new RangeError(`channel ${channel} has no webhook`);
    const { body, proof } = forge(forgery, bodyOf(proper, this.#options.modes().envelope));
    if (proof === "missing") return this.#post({ url: target.url }, body);
    return this.#post(proof === "wrong" ? { ...target, secret: `not ${target.secret}` } : target, body);
  }

  /** Resolves when nothing is waiting or under way. */
  async idle(): Promise<void> {
    while (this.#tails.size > 0) await Promise.all(this.#tails.values());
  }

  stop(): void {
    this.#courier.stop();
  }

  async #deliver(delivery: Delivery, body: string): Promise<boolean> {
    const { event, channel, subject } = delivery;
    const { delayMs, retryDelaysMs } = this.#options.timings;
    const { lateMs, duplicates } = this.#options.modes();
    let copies = duplicates;
    const taken = await this.#courier.deliver({ delayMs: delayMs + lateMs, retryDelaysMs }, (count) =>
      this.#attempt(delivery, body, count),
    );
    while (taken && copies-- > 0 && !this.#courier.stopped) await this.#attempt(delivery, body, 1);
    if (!taken && !this.#courier.stopped) this.#options.log.add({ kind: "given_up", event, channel, subject });
    return taken;
  }

  async #attempt({ event, channel, subject }: Delivery, body: string, attempt: number): Promise<boolean> {
    // Read anew: the address may have been changed since the last attempt.
    const target = this.targetOf(channel);
    if (target === undefined) return false;
    const status = await this.#post(target, body);
    if (this.#courier.stopped) return false;
    this.#options.log.add({ kind: "webhook", event, channel, subject, body, attempt, status });
    return status >= 200 && status < 300;
  }

  async #post({ url, secret }: GatewayTarget, body: string): Promise<number> {
    const headers: Record<string, string> = { "content-type": "application/json", "user-agent": "wpp-gateway" };
    if (secret !== undefined) {
      if (this.#options.modes().proof === "secret") headers["x-gateway-secret"] = secret;
      else headers["x-webhook-signature"] = `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
    }
    const answer = await this.#courier.request({ method: "POST", url, headers, body }, this.#options.timings.timeoutMs);
    return answer?.status ?? 0;
  }
}
