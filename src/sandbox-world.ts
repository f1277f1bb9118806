import { randomBytes, randomInt } from "node:crypto";
import { checkConfig, explain } from "#config/load.ts";
import type { Config } from "#config/schema.ts";
import { PonteError } from "#core/error.ts";
import type { Log } from "#engine/ports.ts";
import type { Switchboard } from "#engine/switchboard.ts";
import { type MetaOptions, SimulatedMeta } from "#sandbox/meta/meta.ts";
import { businessNumbers, demoNumbers } from "#sandbox/numbers.ts";
import { DemoPbx } from "#sandbox/pbx/demo-pbx.ts";
import { PhoneServer } from "#sandbox/phone/phone-server.ts";
import type { DemoNumber } from "#sandbox/phone/protocol.ts";
import type { Watch } from "#sandbox/phone/timeline.ts";
import { MediaRelay } from "#sandbox/relay/media-relay.ts";
import type { RelayPort } from "#sandbox/relay/ports.ts";
import { type GatewayOptions, SimulatedGateway } from "#sandbox/wpp/gateway.ts";
import { Daemon, type DaemonAddresses } from "./daemon.ts";
import { Life } from "./life.ts";

/** What a simulated call may want otherwise than the sandbox has it. */
export interface SandboxOptions {
  readonly log: Log;
  readonly version: string;
  /** Parts of a configuration that go over the sandbox's own; a list takes the place of the sandbox's. */
  readonly settings?: Readonly<Record<string, object>>;
  /** Another PBX than the demo one. */
  readonly pbx?: { readonly host: string; readonly port: number };
  readonly trunk?: Readonly<Record<string, unknown>>;
  readonly numbers?: readonly DemoNumber[];
  readonly meta?: Partial<MetaOptions>;
  readonly relay?: RelayPort;
  /** Without it there is no phone page. */
  readonly page?: { readonly host: string; readonly port: number };
  /** Of the built pages of the daemon; without it there are none. */
  readonly pagesFolder?: string;
  /** Of the daemon. */
  readonly onNewApiKey?: (key: string) => void;
  /** Over the simulated WPP Gateway's own options. */
  readonly gateway?: Partial<GatewayOptions>;
}

export interface SandboxAddresses extends DaemonAddresses {
  /** Of the phone page. */
  readonly pageUrl?: string;
}

/**
 * A daemon in a world of its own: a simulated Meta, a demo PBX and a page with a phone. For the daemon they differ from the
 * real ones in addresses and credentials only.
 */
export class SandboxWorld {
  readonly #options: SandboxOptions;
  readonly #life: Life;
  #meta: SimulatedMeta | undefined;
  #daemon: Daemon | undefined;
  #config: Config | undefined;
  #gateway: SimulatedGateway | undefined;

  constructor(options: SandboxOptions) {
    this.#options = options;
    this.#life = new Life(options.log);
  }

  get meta(): SimulatedMeta {
    return present(this.#meta);
  }

  /** The simulated WPP Gateway. */
  get gateway(): SimulatedGateway {
    return present(this.#gateway);
  }

  get daemon(): Daemon {
    return present(this.#daemon);
  }

  /** What the daemon runs on. */
  get config(): Config {
    return present(this.#config);
  }

  async start(): Promise<SandboxAddresses> {
    const { log, version } = this.#options;
    const secrets = { accessToken: secret(), appSecret: secret(), verifyToken: secret() };
    const pbx = this.#options.pbx ?? (await this.#startPbx());
    const graphUrl = await this.#startMeta(secrets.accessToken);
    const gatewaySecret = secret();
    const gatewayUrl = await this.#startGateway(gatewaySecret);
    this.#config = sandboxConfig(this.#options, { ...secrets, graphUrl, pbx, gatewayUrl, gatewaySecret });
    const { pagesFolder, onNewApiKey } = this.#options;
    this.#daemon = new Daemon({
      config: this.#config,
      log,
      version,
      ...(pagesFolder === undefined ? {} : { pagesFolder }),
      ...(onNewApiKey === undefined ? {} : { onNewApiKey }),
    });
    const addresses = await this.#life.begin(
      "daemon",
      () => this.daemon.start(),
      () => this.daemon.stop(),
    );
    const url = `${addresses.httpUrl}/webhooks/meta`;
    const { verifyToken, appSecret } = secrets;
    if (!(await this.meta.subscribe({ url, verifyToken, appSecret }))) {
      throw new PonteError("sandbox_broken", `The simulated Meta could not verify ${url}.`);
    }
    const pageUrl = await this.#startPage();
    return { ...addresses, ...(pageUrl === undefined ? {} : { pageUrl }) };
  }

  /** May be called twice. */
  async stop(): Promise<void> {
    await this.#life.end();
  }

  async #startPbx(): Promise<{ readonly host: string; readonly port: number }> {
    const log = this.#options.log.child({ part: "demo_pbx" });
    const pbx = new DemoPbx({ log });
    return this.#life.begin(
      "demo pbx",
      () => pbx.start(),
      () => pbx.stop(),
    );
  }

  async #startMeta(accessToken: string): Promise<string> {
    const meta = new SimulatedMeta({
      relay: this.#options.relay ?? new MediaRelay(),
      numbers: businessNumbers(this.#options.numbers ?? demoNumbers),
      accessToken,
      // The database outlives this process, so call ids must differ from those of the last one.
      seed: randomInt(2 ** 31),
      ...this.#options.meta,
    });
    this.#meta = meta;
    const { graphUrl } = await this.#life.begin(
      "simulated Meta",
      () => meta.start(),
      () => meta.stop(),
    );
    return graphUrl;
  }

  async #startGateway(gatewaySecret: string): Promise<string> {
    const gateway = new SimulatedGateway({ secret: gatewaySecret, seed: randomInt(2 ** 31), ...this.#options.gateway });
    this.#gateway = gateway;
    const { url } = await this.#life.begin(
      "simulated gateway",
      () => gateway.start(),
      () => gateway.stop(),
    );
    return url;
  }

  async #startPage(): Promise<string | undefined> {
    const { page, numbers } = this.#options;
    if (page === undefined) return undefined;
    const watch = watchOf(present(this.daemon.switchboard));
    const server = new PhoneServer({
      meta: this.meta,
      numbers: numbers ?? demoNumbers,
      gateway: this.gateway,
      ...page,
      watch,
    });
    const { url } = await this.#life.begin(
      "phone page",
      () => started(server, page),
      () => server.stop(),
    );
    return url;
  }
}

async function started(server: PhoneServer, { host, port }: { readonly host: string; readonly port: number }) {
  try {
    return await server.start();
  } catch (cause) {
    const where = `The phone page cannot be served on ${host}:${port}`;
    if ((cause as NodeJS.ErrnoException).code === "EADDRINUSE") {
      const text = `${where}: another program, perhaps another ponte, listens there. Stop it, or set PONTE_SANDBOX_PORT to a free port; 0 takes any.`;
      throw new PonteError("port_taken", text, { cause });
    }
    const text = `${where} (${cause instanceof Error ? cause.message : String(cause)}). Set PONTE_SANDBOX_HOST or PONTE_SANDBOX_PORT.`;
    throw new PonteError("listen_failed", text, { cause });
  }
}

/** ponte's timeline for the page, with Meta's id of each live call. */
function watchOf(switchboard: Switchboard): Watch {
  return (listener) =>
    switchboard.watch((callId, { at, type, data }) => {
      const wacid = switchboard.live().find((call) => call.id === callId)?.offer.wacid;
      listener({ callId, at, type, data, ...(wacid === undefined ? {} : { wacid }) });
    });
}

interface Peers {
  readonly accessToken: string;
  readonly appSecret: string;
  readonly verifyToken: string;
  readonly graphUrl: string;
  readonly pbx: { readonly host: string; readonly port: number };
  readonly gatewayUrl: string;
  readonly gatewaySecret: string;
}

/** Calls of each demo number go to the extension of that name. */
function sandboxConfig(options: SandboxOptions, peers: Peers): Config {
  const own: Record<string, object> = {
    calling: { enabled: true, trunk: "demo-pbx" },
    meta: {
      graph_url: peers.graphUrl,
      access_token: peers.accessToken,
      app_secrets: [peers.appSecret],
      verify_token: peers.verifyToken,
    },
    channels: (options.numbers ?? demoNumbers).map(({ id, name, extension }) => ({
      phone_number_id: id,
      name,
      target: extension,
    })),
    trunks: [{ name: "demo-pbx", host: peers.pbx.host, port: peers.pbx.port, ...options.trunk }],
    sip: { port: 0 },
    wpp: { base_url: peers.gatewayUrl, secret: peers.gatewaySecret },
    media: { bind_address: ["127.0.0.1"], public_port: 0, sip_bind_address: "127.0.0.1" },
  };
  for (const [name, values] of Object.entries(options.settings ?? {})) {
    own[name] = Array.isArray(values) ? values : { ...own[name], ...values };
  }
  const checked = checkConfig(own, {});
  if (checked.ok) return checked.config;
  throw new PonteError("config_invalid", explain(checked.problems));
}

function secret(): string {
  return randomBytes(24).toString("base64url");
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the sandbox has not been started");
  return value;
}
