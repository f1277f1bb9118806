import { randomBytes } from "node:crypto";
import type { Config } from "#config/schema.ts";
import { sweepLostCalls } from "#engine/lost-calls.ts";
import type { Log } from "#engine/ports.ts";
import { Repeating } from "#engine/repeating.ts";
import { Switchboard } from "#engine/switchboard.ts";
import { systemClock } from "#engine/system-clock.ts";
import { HttpServer } from "#http/server.ts";
import { MediaPlane } from "#media/plane/media-plane.ts";
import type { PublicPortCounters } from "#media/transport/contract.ts";
import type { EngineAddress } from "#sip/connection.ts";
import { SipEdge } from "#sip/edge.ts";
import type { SipAddress, SipAgent, SipAgentCounters } from "#sip-agent/agent.ts";
import { openStore, type Store } from "#store/store.ts";
import type { GraphClient } from "#whatsapp/graph.ts";
import type { ReceiverCounters, WebhookReceiver } from "#whatsapp/receiver.ts";
import type { GatewayCounters, GatewayWebhook } from "#wpp/webhook.ts";
import { Life, started, stopped } from "./life.ts";
import { startMessages } from "./messages.ts";
import {
  apiKey,
  cleaning,
  graphClient,
  type House,
  pagesOf,
  readyChecks,
  type StartedAgent,
  sipPeers,
  startAgent,
  webhookReceiver,
} from "./parts.ts";
import { drachtioServer, limitsOf, mediaOf, mediaOptions, routingOf, trunkOptions } from "./wiring.ts";

export interface DaemonOptions {
  readonly config: Config;
  readonly log: Log;
  readonly version: string;
  /** Where the built pages are; without it there are none. */
  readonly pagesFolder?: string;
  /** Told the API key of a first start as soon as it exists: it is never told again, even if something then stops the start. */
  readonly onNewApiKey?: (key: string) => void;
}

export interface DaemonAddresses {
  readonly httpUrl: string;
  /** Where the embedded agent takes SIP; absent with a drachtio-server. */
  readonly sip?: { readonly host: string; readonly port: number };
  /** The API key that was made at this first start; it is told this once. */
  readonly newApiKey?: string;
}

/** What is alive in a daemon. Without a call all of it is zero, but for transactions, which live on for their RFC timers. */
export interface DaemonCounters {
  readonly calls: number;
  /** Of the SIP edge: legs, dialogs, and requests to the engine that are not answered. */
  readonly sip: { readonly legs: number; readonly dialogs: number; readonly replies: number };
  /** Of the embedded agent; absent with a drachtio-server. */
  readonly agent?: { readonly dialogs: number; readonly pending: number; readonly transactions: number };
  /** Calls of the media plane, and sessions of its public ports. */
  readonly media: { readonly calls: number; readonly sessions: number };
}

/** Everything that the edges count, since the start; what they refused above all. */
export interface DaemonObservations {
  readonly webhooks?: ReceiverCounters;
  /** Of the message gateway's webhooks; absent without a gateway. */
  readonly gatewayWebhooks?: Partial<GatewayCounters>;
  /** Absent with a drachtio-server. */
  readonly agent?: SipAgentCounters;
  /** One of each media worker that is up. */
  readonly publicPorts: readonly PublicPortCounters[];
  /** What the thread of each media worker that is up holds, in bytes; `rss` is that of the whole process. */
  readonly workerMemory: readonly NodeJS.MemoryUsage[];
}

/** A call that came in while ponte stopped is rejected at Meta; a Graph request takes a fraction of it. */
const LAST_GOODBYES_MS = 3_000;
/** A lost call costs its caller at most this long in silence, on top of the time after which a node counts as dead. */
const SWEEP_EVERY_MS = 2_000;
/** Webhooks that a dead node acknowledged are worth something for less than a minute. */
const RECOVER_EVERY_MS = 5_000;

/**
 * The whole daemon: makes the parts, joins them, starts them in order and stops them in reverse. The one place that knows
 * everybody.
 */
export class Daemon {
  readonly #options: DaemonOptions;
  readonly #life: Life;
  #switchboard: Switchboard | undefined;
  #httpUrl: string | undefined;
  #media: MediaPlane | undefined;
  #edge: SipEdge | undefined;
  #agent: SipAgent | undefined;
  #receiver: WebhookReceiver | undefined;
  #gatewayWebhook: GatewayWebhook | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: DaemonOptions) {
    this.#options = options;
    this.#life = new Life(options.log);
  }

  /** Resolves when calls are taken. Throws PonteError naming what is in the way. */
  async start(): Promise<DaemonAddresses> {
    const { config, log } = this.#options;
    const store = await this.#openStore();
    const newApiKey = await apiKey(store, config);
    if (newApiKey !== undefined) this.#options.onNewApiKey?.(newApiKey);
    const media = await this.#startMedia();
    const { edge, address } = await this.#startSip();
    const whatsapp = await this.#life.begin(
      "whatsapp",
      () => graphClient(config, log),
      (client) => client.stop(),
    );
    const switchboard = await this.#startSwitchboard(store, media, edge, whatsapp);
    await this.#chore("sweep", SWEEP_EVERY_MS, () => sweepLostCalls({ sweep: store.sweepDead, whatsapp, log }));
    const httpUrl = (): string | undefined => this.#httpUrl;
    const router = await startMessages(this.#life, { config, log, store, switchboard, httpUrl });
    this.#gatewayWebhook = router.gatewayWebhook;
    const receiver = await this.#life.begin(
      "webhooks",
      () => webhookReceiver(config, log, store, switchboard),
      stopped,
    );
    this.#receiver = receiver;
    await this.#chore("recover", RECOVER_EVERY_MS, () => receiver.recover());
    await this.#life.begin("cleaning", () => started(cleaning(store, config.events.keep_days, log)), stopped);
    const http = this.#httpServer({ store, media, sip: edge, switchboard, receiver, router });
    const { url } = await this.#life.begin(
      "http",
      () => http.start(),
      () => http.stop(),
    );
    this.#httpUrl = url;
    log.info({ url, version: this.#options.version, calling: config.calling.enabled }, "ponte is ready");
    return {
      httpUrl: url,
      ...(address === undefined ? {} : { sip: address }),
      ...(newApiKey === undefined ? {} : { newApiKey }),
    };
  }

  /** Lets calls end, for as long as `calling.drain_timeout_ms` says, and stops everything. May be called twice. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Live calls and their timeline; absent before the start. */
  get switchboard(): Switchboard | undefined {
    return this.#switchboard;
  }

  /** What is alive now; for the self-test and tests. */
  async counters(): Promise<DaemonCounters> {
    const { legs = 0, dialogs = 0, replies = 0 } = this.#edge?.counters() ?? {};
    const workers = (await this.#media?.counters()) ?? [];
    const agent = this.#agent?.counters();
    return {
      calls: this.#switchboard?.live().length ?? 0,
      sip: { legs, dialogs, replies },
      media: {
        calls: workers.reduce((sum, worker) => sum + worker.calls, 0),
        sessions: workers.reduce((sum, worker) => sum + worker.publicPort.sessions, 0),
      },
      ...(agent === undefined
        ? {}
        : { agent: { dialogs: agent.dialogs, pending: agent.pending, transactions: agent.transactions } }),
    };
  }

  /** What was counted since the start; for tests and metrics. */
  async observations(): Promise<DaemonObservations> {
    const workers = (await this.#media?.counters()) ?? [];
    const webhooks = this.#receiver?.counters;
    const gatewayWebhooks = this.#gatewayWebhook?.counters;
    const agent = this.#agent?.counters();
    return {
      publicPorts: workers.map((worker) => worker.publicPort),
      workerMemory: workers.map((worker) => worker.memory),
      ...(webhooks === undefined ? {} : { webhooks }),
      ...(gatewayWebhooks === undefined ? {} : { gatewayWebhooks }),
      ...(agent === undefined ? {} : { agent }),
    };
  }

  async #stop(): Promise<void> {
    const { config, log } = this.#options;
    log.info({ live_calls: this.#switchboard?.live().length ?? 0 }, "ponte is stopping");
    await this.#switchboard?.drain(config.calling.drain_timeout_ms);
    await this.#life.end();
    log.info({}, "ponte has stopped");
  }

  #openStore(): Promise<Store> {
    const { config, log, version } = this.#options;
    const { url, data_dir, max_connections, secret_key } = config.database;
    const options = {
      log,
      version,
      clock: systemClock,
      url,
      dataDir: data_dir,
      connections: max_connections,
      secretKey: secret_key,
    };
    return this.#life.begin(
      "store",
      () => openStore(options),
      (store) => store.close(),
    );
  }

  #startMedia(): Promise<MediaPlane> {
    const { config, log } = this.#options;
    this.#media = new MediaPlane(mediaOptions(config), log);
    const media = this.#media;
    return this.#life.begin("media", () => started(media), stopped);
  }

  #chore(name: string, everyMs: number, task: () => Promise<unknown>): Promise<Repeating> {
    const options = { name, everyMs, task, clock: systemClock, log: this.#options.log };
    return this.#life.begin(name, () => started(new Repeating(options)), stopped);
  }

  async #startSip(): Promise<{ edge: SipEdge; address?: SipAddress }> {
    const { config } = this.#options;
    const server = drachtioServer(config);
    const secret = config.sip.secret ?? randomBytes(24).toString("base64url");
    const agent = server === undefined ? await this.#startAgent(secret) : undefined;
    const engine = { ...(server ?? agent?.control ?? { host: "127.0.0.1", port: 0 }), secret };
    const edge = await this.#life.begin("sip", () => started(this.#sipEdge(engine)), stopped);
    this.#edge = edge;
    const [address] = agent?.sip ?? [];
    return { edge, ...(address === undefined ? {} : { address }) };
  }

  async #startAgent(secret: string): Promise<StartedAgent> {
    const { config, log } = this.#options;
    const started = await this.#life.begin(
      "sip agent",
      () => startAgent(config, secret, log),
      ({ agent }) => agent.stop(),
    );
    this.#agent = started.agent;
    return started;
  }

  /** The edge knows where the trunks are; the agent takes requests from there and from the configured peers. */
  #sipEdge(engine: EngineAddress): SipEdge {
    const { config, log } = this.#options;
    return new SipEdge({
      engine,
      trunks: config.trunks.map(trunkOptions),
      isPeer: sipPeers(config),
      onTrunkAddresses: (addresses) => this.#agent?.setPeers([...config.sip.peers, ...addresses]),
      clock: systemClock,
      log,
    });
  }

  async #startSwitchboard(store: Store, media: MediaPlane, sip: SipEdge, whatsapp: GraphClient): Promise<Switchboard> {
    const { config, log } = this.#options;
    const world = { clock: systemClock, whatsapp, sip, media, journal: store.journal, mediaOf: mediaOf(config.trunks) };
    const switchboard = new Switchboard({
      world,
      memory: store.journal,
      routing: routingOf(config),
      limits: limitsOf(config),
      maxCalls: config.calling.max_calls,
      random: () => randomBytes(16),
      log,
    });
    this.#switchboard = switchboard;
    return await this.#life.begin(
      "switchboard",
      () => switchboard,
      () => switchboard.idle(LAST_GOODBYES_MS),
    );
  }

  #httpServer(house: House): HttpServer {
    const { config, log, version, pagesFolder } = this.#options;
    const { store, switchboard, receiver, router } = house;
    return new HttpServer({
      host: config.http.host,
      port: config.http.port,
      version,
      clock: systemClock,
      log,
      calls: store.calls,
      switchboard,
      apiKeys: store.apiKeys,
      metaWebhook: receiver,
      router,
      readyChecks: readyChecks(house),
      ...(pagesFolder === undefined ? {} : { pages: pagesOf(pagesFolder, config) }),
      trustedProxies: config.http.trusted_proxies,
    });
  }
}
