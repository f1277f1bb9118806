import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { type Clock, Timers } from "#sandbox/clock.ts";
import { sendReply } from "#sandbox/http-reply.ts";
import type { GatewayApi } from "./api.ts";
import type { GatewayAction } from "./faults.ts";

/** The longest text that WhatsApp takes fits with room to spare. */
const MAX_BODY_BYTES = 256 * 1024;

const routes: readonly (readonly ["GET" | "POST", string, GatewayAction])[] = [
  ["POST", "/api/channels", "create_channel"],
  ["GET", "/api/channels", "list_channels"],
  ["GET", "/api/channels/:channel", "get_channel"],
  ["GET", "/api/channels/:channel/qr", "qr"],
  ["POST", "/api/messages", "send"],
  ["POST", "/api/webhooks", "set_webhook"],
  ["POST", "/api/channels/:channel/webhook", "set_channel_webhook"],
];

/** The gateway's HTTP server. */
export class GatewayServer {
  readonly #api: GatewayApi;
  readonly #timers: Timers;
  #app: FastifyInstance | undefined;

  constructor(api: GatewayApi, clock: Clock) {
    this.#api = api;
    this.#timers = new Timers(clock);
  }

  /** Resolves with the base URL, without a final slash. */
  async start(host: string, port: number): Promise<string> {
    const app = fastify({ bodyLimit: MAX_BODY_BYTES, forceCloseConnections: true });
    this.#app = app;
    app.removeAllContentTypeParsers();
    app.addContentTypeParser("*", { parseAs: "string" }, (_request, body, done) => done(null, body));
    for (const [method, url, action] of routes) {
      app.route({ method, url, handler: (request, reply) => this.#handle(action, request, reply) });
    }
    app.setErrorHandler((error: { readonly statusCode?: number; readonly message: string }, _request, reply) =>
      reply.code(error.statusCode ?? 500).send({ error: { code: "bad_request", message: error.message } }),
    );
    return app.listen({ host, port });
  }

  async stop(): Promise<void> {
    this.#timers.cancelAll();
    await this.#app?.close();
    this.#app = undefined;
  }

  #handle(action: GatewayAction, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const { channel } = request.params as { readonly channel?: string };
    const answer = this.#api.handle({
      action,
      ...(channel === undefined ? {} : { channel }),
      secret: first(request.headers["x-gateway-secret"]),
      idempotencyKey: first(request.headers["idempotency-key"]),
      body: typeof request.body === "string" ? request.body : "",
    });
    return sendReply(reply, answer, this.#timers);
  }
}

function first(value: string | string[] | undefined): string | undefined {
  return typeof value === "string" ? value : value?.[0];
}
