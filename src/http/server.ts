import { randomUUID } from "node:crypto";
import type { AddressInfo } from "node:net";
import Fastify from "fastify";
import { PonteError } from "#core/error.ts";
import type { ApiKeysPort, CallReaderPort, Clock, Log, SwitchboardPort } from "#engine/ports.ts";
import type { App } from "./app.ts";
import { FailedAttempts, requireApiKey } from "./auth.ts";
import { callRoutes } from "./calls.ts";
import { ApiError, answerErrors, answerGarbage, answerUnknown } from "./errors.ts";
import { EventStreams } from "./events.ts";
import { healthRoutes } from "./health.ts";
import { metaWebhookRoutes } from "./meta-webhook.ts";
import { collectOpenApi, openApiRoute } from "./openapi.ts";
import type { MetaWebhookPort, ReadyCheck } from "./ports.ts";

export interface HttpServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Of ponte, for `/live` and the documentation. */
  readonly version: string;
  /** Addresses or networks of reverse proxies whose `X-Forwarded-For` is believed. */
  readonly trustedProxies?: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  readonly calls: CallReaderPort;
  readonly switchboard: SwitchboardPort;
  readonly apiKeys: ApiKeysPort;
  readonly metaWebhook: MetaWebhookPort;
  readonly readyChecks: readonly ReadyCheck[];
}

/** Bodies of the API are small; webhooks have a limit of their own. */
const MAX_BODY_BYTES = 65_536;
/** Sockets at once, so that a flood cannot take the file descriptors that media needs. */
const MAX_CONNECTIONS = 1_000;
/** From the first byte of a request to its last: slow senders hold a socket no longer. */
const REQUEST_LIMIT_MS = 20_000;
/** From a whole request to its answer. Meta gives a webhook up after about 20 s. */
const HANDLER_LIMIT_MS = 15_000;
/** What requests in progress are given when the daemon stops; then their sockets are closed. */
const DRAIN_LIMIT_MS = 5_000;

/** The API, the webhooks and the health pages. */
export class HttpServer {
  readonly #options: HttpServerOptions;
  readonly #streams: EventStreams;
  #app: App | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#streams = new EventStreams(options);
  }

  /** Listens. Rejects with PonteError `port_taken` or `listen_failed`. */
  async start(): Promise<{ readonly url: string; readonly port: number }> {
    const { host, port } = this.#options;
    const app = await this.#build();
    this.#app = app;
    try {
      await app.listen({ host, port });
    } catch (error) {
      await app.close();
      throw listenFailure(error, host, port);
    }
    const bound = app.server.address() as AddressInfo;
    const shown = bound.family === "IPv6" ? `[${bound.address}]` : bound.address;
    return { url: `http://${shown}:${bound.port}`, port: bound.port };
  }

  /** Ends the event streams, lets requests in progress finish for a while, closes everything. May be called twice. */
  stop(): Promise<void> {
    this.#stopping ??= this.#close();
    return this.#stopping;
  }

  async #close(): Promise<void> {
    this.#streams.stop();
    const app = this.#app;
    if (app === undefined) return;
    const cancel = this.#options.clock.after(DRAIN_LIMIT_MS, () => {
      this.#options.log.warn({ drain_ms: DRAIN_LIMIT_MS }, "http connections closed while requests were in progress");
      app.server.closeAllConnections();
    });
    try {
      await app.close();
    } finally {
      cancel();
    }
  }

  async #build(): Promise<App> {
    const { log, version, trustedProxies } = this.#options;
    const app: App = Fastify({
      logger: false,
      bodyLimit: MAX_BODY_BYTES,
      requestTimeout: REQUEST_LIMIT_MS,
      handlerTimeout: HANDLER_LIMIT_MS,
      genReqId: () => randomUUID(),
      // Refused by our own hook instead, in the shape of all refusals.
      return503OnClosing: false,
      trustProxy: trustedProxies === undefined || trustedProxies.length === 0 ? false : [...trustedProxies],
      // A parameter that is not known is an error of the caller, not something to drop in silence.
      ajv: { customOptions: { removeAdditional: false } },
      clientErrorHandler: answerGarbage,
      frameworkErrors: answerErrors(log),
    });
    app.server.maxConnections = MAX_CONNECTIONS;
    // Response schemas are documentation: a test holds answers against them, and nothing is dropped or bent on the way out.
    app.setSerializerCompiler(() => (data) => JSON.stringify(data));
    app.setErrorHandler(answerErrors(log));
    app.setNotFoundHandler(answerUnknown);
    app.decorateRequest("keyName", "");
    this.#observe(app);
    await collectOpenApi(app, version);
    this.#routes(app);
    await app.ready();
    return app;
  }

  #observe(app: App): void {
    app.addHook("onRequest", async (request, reply) => {
      reply.headers({
        "x-request-id": request.id,
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
      });
      if (this.#stopping !== undefined && request.routeOptions.url !== "/ready")
        throw new ApiError(503, "stopping", "ponte is stopping.", { headers: { connection: "close" } });
    });
    // The path is left out: its query may hold a verify token.
    app.addHook("onResponse", async (request, reply) => {
      this.#options.log.debug(
        {
          request_id: request.id,
          method: request.method,
          route: request.routeOptions.url ?? "",
          status: reply.statusCode,
          took_ms: Math.round(reply.elapsedTime),
          address: request.ip,
        },
        "http request",
      );
    });
  }

  #routes(app: App): void {
    const { apiKeys, clock, metaWebhook } = this.#options;
    const stopping = () => this.#stopping !== undefined;
    healthRoutes(app, { ...this.#options, stopping });
    openApiRoute(app);
    app.register(async (scope: App) => metaWebhookRoutes(scope, metaWebhook));
    app.register(async (scope: App) => {
      scope.addHook("onRequest", requireApiKey(apiKeys, new FailedAttempts(clock)));
      callRoutes(scope, this.#options);
      this.#streams.routes(scope);
    });
  }
}

function listenFailure(error: unknown, host: string, port: number): PonteError {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  const where = `${host}:${port}`;
  if (code === "EADDRINUSE")
    return new PonteError(
      "port_taken",
      `${where} is in use already: another program, perhaps another ponte, listens there. Stop it, or set http.port (PONTE_HTTP_PORT) to a free port; 0 takes any.`,
      { cause: error },
    );
  const advice: Readonly<Record<string, string>> = {
    EACCES: "ports below 1024 need a privilege; take a higher one and let a reverse proxy listen",
    EADDRNOTAVAIL: "this machine does not have that address; set http.host (PONTE_HTTP_HOST) to one it has",
    ENOTFOUND: "that name has no address; set http.host (PONTE_HTTP_HOST) to an address of this machine",
  };
  return new PonteError("listen_failed", `cannot listen on ${where}: ${advice[code] ?? code}.`, { cause: error });
}
