import { randomUUID } from "node:crypto";
import Fastify from "fastify";
import type { ApiKeysPort, CallReaderPort, Clock, Log, SwitchboardPort } from "#engine/ports.ts";
import type { App } from "./app.ts";
import { type Authentication, FailedAttempts, requireApiKey, requireOperator } from "./auth.ts";
import { callRoutes } from "./calls.ts";
import { channelRoutes } from "./channels.ts";
import { strictly } from "./check.ts";
import { conversationRoutes } from "./conversations.ts";
import { deliveryRoutes } from "./deliveries.ts";
import { endpointRoutes } from "./endpoints.ts";
import { ApiError, answerErrors, answerGarbage, answerUnknown } from "./errors.ts";
import { eventIntakeRoutes } from "./event-intake.ts";
import { eventLogRoutes } from "./event-log.ts";
import type { EventStreams } from "./events.ts";
import { healthRoutes } from "./health.ts";
import { liveRoutes } from "./live.ts";
import { metaWebhookRoutes } from "./meta-webhook.ts";
import { collectOpenApi, openApiRoute } from "./openapi.ts";
import { type PageParts, pageRoutes } from "./page-files.ts";
import type { MetaWebhookPort, ReadyCheck } from "./ports.ts";
import type { RouterParts } from "./router-parts.ts";
import { ruleRoutes } from "./rules.ts";
import { Sessions } from "./session.ts";
import { signInRoutes } from "./sign-in.ts";
import { wppWebhookRoutes } from "./wpp-webhook.ts";

export interface AppParts {
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
  /** Messages and events; absent: calls alone. */
  readonly router?: RouterParts;
  /** The pages for people; absent: none are served. */
  readonly pages?: PageParts;
}

/** Bodies of the API are small; webhooks have a limit of their own. */
const MAX_BODY_BYTES = 65_536;
/** Sockets at once, so that a flood cannot take the file descriptors that media needs. */
const MAX_CONNECTIONS = 1_000;
/** From the first byte of a request to its last: slow senders hold a socket no longer. */
const REQUEST_LIMIT_MS = 20_000;
/** From a whole request to its answer. Meta gives a webhook up after about 20 s. */
const HANDLER_LIMIT_MS = 15_000;

/** All routes, ready to listen. */
export async function buildApp(parts: AppParts, streams: EventStreams, stopping: () => boolean): Promise<App> {
  const app = bareApp(parts);
  answerInOneShape(app, parts.log);
  observe(app, parts.log);
  refuseWhile(stopping, app);
  await collectOpenApi(app, parts.version);
  healthRoutes(app, { ...parts, stopping });
  openApiRoute(app);
  app.register(async (scope: App) => metaWebhookRoutes(scope, parts.metaWebhook));
  const sessions = parts.pages && new Sessions(parts.clock, parts.pages.sessionSecret);
  const authentication: Authentication = {
    keys: parts.apiKeys,
    failures: new FailedAttempts(parts.clock),
    ...(sessions === undefined ? {} : { sessions }),
    ...(parts.router === undefined ? {} : { tenantId: parts.router.tenantId }),
  };
  app.register(async (scope: App) => {
    scope.addHook("onRequest", requireApiKey(authentication));
    scope.addHook("onRequest", requireOperator(authentication.tenantId));
    callRoutes(scope, parts);
    streams.routes(scope);
  });
  if (parts.router !== undefined) messaging(app, parts, parts.router, streams, authentication);
  if (parts.pages !== undefined) pageRoutes(app, parts.pages);
  if (sessions !== undefined)
    app.register(async (scope: App) => signInRoutes(scope.setValidatorCompiler(strictly), authentication, sessions));
  await app.ready();
  return app;
}

/** Messages and events, in scopes whose bodies are checked as they are. */
function messaging(
  app: App,
  { clock, log }: AppParts,
  router: RouterParts,
  streams: EventStreams,
  authentication: Authentication,
): void {
  const { gatewayWebhook } = router;
  const parts = { ...router, clock, log };
  if (gatewayWebhook !== undefined) app.register(async (scope: App) => wppWebhookRoutes(scope, gatewayWebhook));
  app.register(async (scope: App) => eventIntakeRoutes(scope, parts, authentication));
  app.register(async (scope: App) => {
    scope.setValidatorCompiler(strictly);
    scope.addHook("onRequest", requireApiKey(authentication));
    channelRoutes(scope, parts);
    conversationRoutes(scope, parts);
    eventLogRoutes(scope, parts);
    ruleRoutes(scope, parts);
    endpointRoutes(scope, parts);
    deliveryRoutes(scope, parts);
    liveRoutes(scope, router.service, streams);
  });
}

function bareApp({ trustedProxies, log }: AppParts): App {
  const app: App = Fastify({
    logger: false,
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_LIMIT_MS,
    handlerTimeout: HANDLER_LIMIT_MS,
    genReqId: () => randomUUID(),
    // A HEAD of the event stream would never end.
    exposeHeadRoutes: false,
    // Refused by our own hook instead, in the shape of all refusals.
    return503OnClosing: false,
    trustProxy: trustedProxies === undefined || trustedProxies.length === 0 ? false : [...trustedProxies],
    // A parameter that is not known is an error of the caller, not something to drop in silence.
    ajv: { customOptions: { removeAdditional: false } },
    clientErrorHandler: answerGarbage,
    frameworkErrors: answerErrors(log),
  });
  app.server.maxConnections = MAX_CONNECTIONS;
  app.decorateRequest("keyName", "");
  app.decorateRequest("tenantId", "");
  // Response schemas are documentation: a test holds answers against them, and nothing is dropped or bent on the way out.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  return app;
}

function answerInOneShape(app: App, log: Log): void {
  app.setErrorHandler(answerErrors(log));
  app.setNotFoundHandler(answerUnknown);
  app.addHook("onRequest", async (request, reply) => {
    reply.headers({
      "x-request-id": request.id,
      "x-content-type-options": "nosniff",
      "cache-control": "no-store",
    });
  });
}

/** The path is left out: its query may hold a verify token. */
function observe(app: App, log: Log): void {
  app.addHook("onResponse", async (request, reply) => {
    const facts = {
      request_id: request.id,
      method: request.method,
      route: request.routeOptions.url ?? "",
      status: reply.statusCode,
      took_ms: Math.round(reply.elapsedTime),
      address: request.ip,
    };
    log.debug(facts, "http request");
  });
}

/**
 * A connection that is kept alive may bring one more request while the daemon stops. A request that was in progress is
 * answered, and its connection is closed with the answer: nobody waits for it to be idle long enough.
 */
function refuseWhile(stopping: () => boolean, app: App): void {
  app.addHook("onSend", async (_request, reply) => {
    if (stopping()) reply.header("connection", "close");
  });
  app.addHook("onRequest", async (request) => {
    if (stopping() && request.routeOptions.url !== "/ready")
      throw new ApiError(503, "stopping", "ponte is stopping.", { headers: { connection: "close" } });
  });
}
