import { randomBytes } from "node:crypto";
import type { Config } from "#config/schema.ts";
import { PonteError } from "#core/error.ts";
import type { Log } from "#engine/ports.ts";
import type { Switchboard } from "#engine/switchboard.ts";
import { systemClock } from "#engine/system-clock.ts";
import type { PageParts } from "#http/page-files.ts";
import type { ReadyCheck } from "#http/ports.ts";
import type { RouterParts } from "#http/router-parts.ts";
import type { MediaPlane } from "#media/plane/media-plane.ts";
import type { SipEdge } from "#sip/edge.ts";
import { SipAgent, type SipAgentAddresses } from "#sip-agent/agent.ts";
import { peerList } from "#sip-agent/transport/address.ts";
import { Cleaning } from "#store/cleaning.ts";
import type { Store } from "#store/store.ts";
import { GraphClient } from "#whatsapp/graph.ts";
import { WebhookReceiver } from "#whatsapp/receiver.ts";
import { sipListeners, tokensOf } from "./wiring.ts";

/** Parts of the daemon, each made of its slice of the configuration. */

/** Who may send SIP requests besides the trunks. */
export function sipPeers({ sip }: Config): (address: string) => boolean {
  try {
    return peerList(sip.peers);
  } catch (cause) {
    throw new PonteError("sip_peers_invalid", `sip.peers: ${messageOf(cause)}. Give addresses and networks only.`, {
      cause,
    });
  }
}

export type StartedAgent = SipAgentAddresses & { readonly agent: SipAgent };

/** Port taken, no such address, a peer that is none: says which key of the configuration is meant. */
export async function startAgent(config: Config, secret: string, log: Log): Promise<StartedAgent> {
  sipPeers(config);
  const listeners = sipListeners(config);
  const agent = new SipAgent({
    control: { host: "127.0.0.1", port: 0, secret },
    udp: listeners,
    tcp: listeners,
    peers: config.sip.peers,
    log: log.child({ part: "sip_agent" }),
  });
  try {
    return { agent, ...(await agent.start()) };
  } catch (cause) {
    const where = `${config.sip.bind_address}:${config.sip.port}`;
    throw new PonteError(
      "sip_port_taken",
      `The SIP agent cannot listen on ${where} (${messageOf(cause)}). Set sip.port or sip.bind_address.`,
      { cause },
    );
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/**
 * The configured key, which is valid as long as the configuration names it, or one that is made where there is no other and
 * returned this once.
 */
export async function apiKey({ apiKeys }: Pick<Store, "apiKeys">, { http }: Pick<Config, "http">) {
  if (http.api_key !== undefined) {
    await apiKeys.ensureGiven(http.api_key);
    return undefined;
  }
  await apiKeys.withdrawGiven();
  return (await apiKeys.ensureFirst())?.secret;
}

export function graphClient(config: Config, log: Log): GraphClient {
  const { meta } = config;
  return new GraphClient(
    {
      baseUrl: meta.graph_url,
      version: meta.graph_version,
      channels: tokensOf(config),
      requestTimeoutMs: meta.request_timeout_ms,
      ...(meta.access_token === undefined ? {} : { accessToken: meta.access_token }),
    },
    { clock: systemClock, log, random: Math.random },
  );
}

export function webhookReceiver({ meta }: Config, log: Log, store: Store, engine: Switchboard): WebhookReceiver {
  return new WebhookReceiver({
    inbox: store.inbox,
    engine,
    secrets: meta.app_secrets,
    log,
    clock: systemClock,
    messages: { intake: store.intake, channels: store.channels, randomBytes },
    ...(meta.verify_token === undefined ? {} : { verifyToken: meta.verify_token }),
  });
}

/** What the HTTP side needs of the others. */
export interface House {
  readonly store: Store;
  readonly media: MediaPlane;
  readonly sip: SipEdge;
  readonly switchboard: Switchboard;
  readonly receiver: WebhookReceiver;
  readonly router: RouterParts;
}

export function readyChecks({ store, media, sip, switchboard }: House): readonly ReadyCheck[] {
  const check = (name: string, ok: () => boolean, detail: string): ReadyCheck => ({
    name,
    check: async () => (ok() ? { ok: true } : { ok: false, detail }),
  });
  return [
    { name: "database", check: async () => ({ ok: await answers(store.calls.ping()) }) },
    check("sip", () => sip.ready(), "the SIP engine is away"),
    check("media", () => media.publicPorts.length > 0, "no media worker is up"),
    check("calls", () => !switchboard.draining, "ponte is stopping and takes no new calls"),
  ];
}

async function answers(probe: Promise<void>): Promise<boolean> {
  return probe.then(
    () => true,
    () => false,
  );
}

/** Bodies of webhooks are personal data; Meta repeats one for at most a week, so that a duplicate is known that long. */
const KEEP_WEBHOOKS_DAYS = 7;
const DAY_MS = 86_400_000;

/** Forgets what is older than it has to be known. */
export function cleaning(store: Store, keepEventsDays: number, log: Log): Cleaning {
  const before = (days: number): Date => new Date(Date.now() - days * DAY_MS);
  return new Cleaning({
    removals: [
      (limit) => store.queue.prune(limit),
      (limit) => store.events.prune(before(keepEventsDays), limit),
      (limit) => store.effects.prune(before(keepEventsDays), limit),
      (limit) => store.deliveries.prune(before(keepEventsDays), limit),
      (limit) => store.queue.pruneDead(before(keepEventsDays), limit),
      (limit) => store.inbox.prune(before(KEEP_WEBHOOKS_DAYS), limit),
    ],
    clock: systemClock,
    log,
  });
}

/** With a key of its own from the environment, sessions of the pages outlive a restart. */
export function pagesOf(folder: string, { database }: Config): PageParts {
  return database.secret_key === undefined ? { folder } : { folder, sessionSecret: database.secret_key };
}
