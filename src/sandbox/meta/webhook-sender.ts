import { createHmac } from "node:crypto";
import type { Clock } from "#sandbox/clock.ts";
import { Courier, type WebhookTimings } from "#sandbox/courier.ts";
import type { HttpSend } from "#sandbox/http-client.ts";
import { type Random, randomInteger } from "#sandbox/random.ts";
import type { MetaLog } from "./log.ts";
import { metaJson } from "./payload.ts";

export type { WebhookTimings };

/** Where an app wants its webhooks. */
export interface WebhookTarget {
  readonly url: string;
  readonly verifyToken: string;
  readonly appSecret: string;
}

/** 20 s is Meta's; the back-off for calls is not documented ("likely shorter" than the 7 days of messages). */
export const defaultWebhookTimings: WebhookTimings = {
  delayMs: 0,
  timeoutMs: 20_000,
  retryDelaysMs: [1_000, 5_000, 15_000, 60_000, 300_000],
};

/** One event, or several that share a body. */
export interface Delivery {
  /** For the log: `connect`, `terminate`, … */
  readonly event: string;
  readonly wacids: readonly string[];
  readonly body: object;
  readonly signature: "right" | "wrong" | "missing";
}

interface Options {
  readonly clock: Clock;
  readonly random: Random;
  readonly send: HttpSend;
  readonly log: MetaLog;
  readonly timings: WebhookTimings;
}

/** Delivers webhooks as Meta does: address verified first, signed, repeated with the same bytes until somebody says 200. */
export class WebhookSender {
  readonly #options: Options;
  readonly #courier: Courier;
  #target: WebhookTarget | undefined;
  #verified: Promise<boolean> | undefined;

  constructor(options: Options) {
    this.#options = options;
    this.#courier = new Courier(options.clock, options.send);
  }

  /** Sets where webhooks go, and verifies the address at once (W1). False: it did not give the challenge back. */
  subscribe(target: WebhookTarget): Promise<boolean> {
    this.#target = target;
    this.#verified = this.#verify(target);
    return this.#verified;
  }

  /** Resolves with true when somebody answered 2xx, false when the event was given up. */
  deliver(delivery: Delivery): Promise<boolean> {
    const { delayMs, retryDelaysMs } = this.#options.timings;
    const body = metaJson(delivery.body);
    return this.#courier.deliver(
      { delayMs, retryDelaysMs: delivery.signature === "right" ? retryDelaysMs : [] },
      (count) => this.#attempt(delivery, body, count),
    );
  }

  /** Resolves when nothing is under way. */
  idle(): Promise<void> {
    return this.#courier.idle();
  }

  stop(): void {
    this.#courier.stop();
  }

  async #attempt(delivery: Delivery, body: string, attempt: number): Promise<boolean> {
    const target = this.#target;
    if (target === undefined || !(await this.#isVerified(target)) || this.#courier.stopped) return false;
    const startedAt = this.#options.clock.now();
    const status = await this.#post(target, body, delivery.signature);
    if (this.#courier.stopped) return false;
    const { event, wacids } = delivery;
    const tookMs = this.#options.clock.now() - startedAt;
    this.#options.log.add({ kind: "webhook", event, wacids, body, attempt, status, tookMs });
    const taken = status >= 200 && status < 300;
    if (delivery.signature !== "right" && status !== 401 && status !== 403) {
      const text = `A webhook with a ${delivery.signature} signature was answered with ${status}`;
      this.#options.log.add({ kind: "violation", rule: "W2", text });
    }
    return taken;
  }

  async #post(target: WebhookTarget, body: string, signature: Delivery["signature"]): Promise<number> {
    const headers: Record<string, string> = {
      "content-type": "application/json",
      "user-agent": "facebookexternalua",
      accept: "*/*",
    };
    const secret = signature === "wrong" ? `not ${target.appSecret}` : target.appSecret;
    if (signature !== "missing") headers["x-hub-signature-256"] = signBody(body, secret);
    return (await this.#request({ method: "POST", url: target.url, headers, body }))?.status ?? 0;
  }

  #request(request: Parameters<HttpSend>[0]): Promise<Awaited<ReturnType<HttpSend>> | undefined> {
    return this.#courier.request(request, this.#options.timings.timeoutMs);
  }

  /** An address that failed is tried again with the next delivery. */
  async #isVerified(target: WebhookTarget): Promise<boolean> {
    if ((await this.#verified) === true) return true;
    this.#verified = this.#verify(target);
    return this.#verified;
  }

  async #verify(target: WebhookTarget): Promise<boolean> {
    const challenge = String(randomInteger(this.#options.random, 100_000_000, 999_999_999));
    const url = new URL(target.url);
    url.searchParams.set("hub.mode", "subscribe");
    url.searchParams.set("hub.challenge", challenge);
    url.searchParams.set("hub.verify_token", target.verifyToken);
    const answer = await this.#request({
      method: "GET",
      url: url.href,
      headers: { "user-agent": "facebookplatform/1.0" },
    });
    const ok = answer?.status === 200 && answer.body === challenge;
    const told = answer === undefined ? "no answer" : `status ${answer.status}`;
    const text = ok ? "The webhook's address gave the challenge back" : `The challenge did not come back: ${told}`;
    if (!this.#courier.stopped) this.#options.log.add({ kind: "verification", ok, text });
    return ok;
  }
}

/** `X-Hub-Signature-256` of a raw body. */
export function signBody(body: string, appSecret: string): string {
  return `sha256=${createHmac("sha256", appSecret).update(body).digest("hex")}`;
}
