import type { HttpAnswer, HttpRequest } from "#sandbox/http-client.ts";
import { seededRandom } from "#sandbox/random.ts";
import { Channels } from "#sandbox/wpp/channels.ts";
import { Chats } from "#sandbox/wpp/chats.ts";
import { GatewayLog } from "#sandbox/wpp/log.ts";
import { defaultGatewayModes, type GatewayModes } from "#sandbox/wpp/modes.ts";
import { Outbox } from "#sandbox/wpp/outbox.ts";
import { GatewayWebhooks } from "#sandbox/wpp/webhooks.ts";
import { FakeClock } from "#test/support/fake-clock.ts";

/** The gateway without sockets, on a clock that stands still. */
export class WppBench {
  readonly clock = new FakeClock();
  readonly posts: HttpRequest[] = [];
  /** What the webhook answers, one after the other, then 200; `silence` answers nothing. */
  readonly answers: (number | "silence")[] = [];
  readonly log = new GatewayLog(() => this.clock.now());
  modes: GatewayModes;
  readonly webhooks: GatewayWebhooks;
  readonly channels: Channels;
  readonly chats: Chats;
  readonly outbox: Outbox;

  constructor(modes: Partial<GatewayModes> = {}) {
    this.modes = { ...defaultGatewayModes, ...modes };
    const { clock, log } = this;
    const random = seededRandom(3);
    const readModes = (): GatewayModes => this.modes;
    this.webhooks = new GatewayWebhooks({
      clock,
      log,
      send: (request, signal) => this.#send(request, signal),
      timings: { delayMs: 0, timeoutMs: 10_000, retryDelaysMs: [1_000, 5_000] },
      modes: readModes,
    });
    const onConnected = (channel: { readonly id: string }): void => this.chats.release(channel.id);
    this.channels = new Channels({ clock, random, log, webhooks: this.webhooks, qrLifetimeMs: 20_000, onConnected });
    this.chats = new Chats({ clock, random, webhooks: this.webhooks, channels: this.channels, modes: readModes });
    this.outbox = new Outbox(this.chats, readModes);
  }

  /** A connected channel with a webhook; what led to it is forgotten. */
  async connected(id = "clinic"): Promise<void> {
    this.channels.create(id);
    this.channels.connect(id, "5511900000000");
    this.webhooks.setTarget({ url: "http://ponte.test/hook", secret: "hook" }, id);
    await settle();
    this.log.clear();
    this.posts.length = 0;
  }

  documents(): readonly Readonly<Record<string, unknown>>[] {
    return this.posts.map(({ body = "" }) => JSON.parse(body) as Readonly<Record<string, unknown>>);
  }

  /** The `data` of the last webhook. */
  data(): Readonly<Record<string, unknown>> {
    return this.documents().at(-1)?.["data"] as Readonly<Record<string, unknown>>;
  }

  #send(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    this.posts.push(request);
    const answer = this.answers.shift() ?? 200;
    if (answer !== "silence") return Promise.resolve({ status: answer, body: "" });
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
  }
}

/** Lets promises that are settled go on. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 60; turn += 1) await Promise.resolve();
}
