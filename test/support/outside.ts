import type { PlacedCall } from "#sandbox/meta/calls.ts";
import { type MetaOptions, SimulatedMeta } from "#sandbox/meta/meta.ts";
import type { WhatsAppUser } from "#sandbox/meta/numbers.ts";
import type { WebhookTimings } from "#sandbox/meta/webhook-sender.ts";
import { businessNumbers, demoNumbers } from "#sandbox/numbers.ts";
import { DemoPbx } from "#sandbox/pbx/demo-pbx.ts";
import { MediaRelay } from "#sandbox/relay/media-relay.ts";
import { freePort } from "./free-port.ts";
import { collectLog } from "./log.ts";

/** Meta repeats what was not taken; here without the patience of the real one. */
const TIMINGS: Partial<WebhookTimings> = {
  timeoutMs: 3_000,
  retryDelaysMs: [100, 200, ...Array.from({ length: 60 }, () => 400)],
};

/** Worlds of one file share a database, so their call ids must differ. */
let worlds = 0;

/** A call of a user who neither speaks nor listens: what became of it. */
export interface SilentCall {
  readonly wacid: string;
  readonly ended: Promise<string>;
  hangUp(): void;
}

/** What is around a daemon that runs as a process of its own: Meta, a PBX, and people who call. */
export class Outside {
  readonly meta: SimulatedMeta;
  readonly pbx: DemoPbx;
  /** The daemon's, the same for each of its lives. */
  readonly httpPort: number;
  readonly #graphUrl: string;
  readonly #pbxPort: number;
  readonly #users: WhatsAppUser[] = [];

  private constructor(meta: SimulatedMeta, pbx: DemoPbx, addresses: readonly [string, number, number]) {
    this.meta = meta;
    this.pbx = pbx;
    [this.#graphUrl, this.#pbxPort, this.httpPort] = addresses;
  }

  static async start(options: Partial<MetaOptions> = {}): Promise<Outside> {
    worlds += 1;
    const meta = new SimulatedMeta({
      seed: worlds,
      relay: new MediaRelay(),
      numbers: businessNumbers(demoNumbers),
      accessToken: "the-token",
      webhookTimings: TIMINGS,
      ...options,
    });
    const pbx = new DemoPbx({ log: collectLog().log });
    const [{ graphUrl }, { port }, httpPort] = await Promise.all([meta.start(), pbx.start(), freePort()]);
    return new Outside(meta, pbx, [graphUrl, port, httpPort]);
  }

  /** A configuration for this world. */
  config(databaseUrl: string, more: Readonly<Record<string, object>> = {}): Record<string, object> {
    const own: Record<string, object> = {
      calling: { enabled: true, trunk: "pbx" },
      meta: {
        graph_url: this.#graphUrl,
        access_token: "the-token",
        app_secrets: ["the secret"],
        verify_token: "verify me",
      },
      channels: demoNumbers.map(({ id, extension }) => ({ phone_number_id: id, target: extension })),
      trunks: [{ name: "pbx", host: "127.0.0.1", port: this.#pbxPort }],
      sip: { port: 0 },
      media: { bind_address: ["127.0.0.1"], public_port: 0, sip_bind_address: "127.0.0.1", workers: 1 },
      http: { port: this.httpPort, api_key: "ponte_test_key-that-is-long-enough" },
      database: { url: databaseUrl },
      log: { format: "json" },
    };
    return Object.fromEntries(
      Object.entries({ ...more, ...own }).map(([name, values]) => [
        name,
        Array.isArray(values) ? (more[name] ?? values) : { ...values, ...more[name] },
      ]),
    );
  }

  /** Tells Meta where webhooks go. False when the daemon did not give the challenge back. */
  subscribe(): Promise<boolean> {
    const url = `http://127.0.0.1:${this.httpPort}/webhooks/meta`;
    return this.meta.subscribe({ url, verifyToken: "verify me", appSecret: "the secret" });
  }

  /** Another user calls the number of this extension. */
  call(extension: string): SilentCall {
    const n = this.#users.length + 1;
    const user = { number: `55119${20_000_000 + n}`, profileName: `User ${n}`, userId: `BR.${n}` };
    this.#users.push(user);
    const { promise, resolve } = Promise.withResolvers<string>();
    const number = demoNumbers.find((each) => each.extension === extension);
    const nothing = (): void => undefined;
    const placed: PlacedCall = this.meta.placeCall(
      { user, phoneNumberId: number?.id ?? "" },
      {
        onRinging: nothing,
        onPickedUp: nothing,
        onRtp: nothing,
        onEnded: ({ reason, by }) => resolve(`${reason} by ${by}`),
      },
    );
    return { wacid: placed.wacid, ended: promise, hangUp: () => placed.hangUp() };
  }

  async stop(): Promise<void> {
    await this.meta.stop();
    await this.pbx.stop();
  }
}
