import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { type Clock, Timers } from "#sandbox/clock.ts";
import { type HttpReply, sendReply } from "#sandbox/http-reply.ts";
import type { Graph, GraphCall } from "./graph.ts";

/** An SDP of a few kilobytes is the largest thing that anybody has to say here. */
const MAX_BODY_BYTES = 256 * 1024;

/** `graph.facebook.com`, as far as calls go. */
export class GraphServer {
  readonly #graph: Graph;
  readonly #timers: Timers;
  #app: FastifyInstance | undefined;

  constructor(graph: Graph, clock: Clock) {
    this.#graph = graph;
    this.#timers = new Timers(clock);
  }

  /** Resolves with the base URL, without a final slash. */
  async start(host: string, port: number): Promise<string> {
    const app = fastify({ bodyLimit: MAX_BODY_BYTES, forceCloseConnections: true });
    this.#app = app;
    app.removeAllContentTypeParsers();
    app.addContentTypeParser("*", { parseAs: "string" }, (_request, body, done) => done(null, body));
    app.post("/:version/:id/calls", (request, reply) => this.#answer(reply, this.#graph.postCalls(callOf(request))));
    app.get("/:version/:id/settings", (request, reply) => this.#answer(reply, this.#graph.settings(callOf(request))));
    app.post("/:version/:id/settings", (request, reply) => this.#answer(reply, this.#graph.settings(callOf(request))));
    app.setNotFoundHandler((request, reply) =>
      reply.code(400).send({
        error: { message: `Unknown path components: ${request.url}`, type: "OAuthException", code: 2500 },
      }),
    );
    // What fastify refuses by itself, such as a body without end, is refused in Graph's words too.
    app.setErrorHandler((error: { readonly statusCode?: number; readonly message: string }, _request, reply) =>
      reply.code(error.statusCode ?? 500).send({
        error: { message: `(#1) ${error.message}`, type: "OAuthException", code: 1 },
      }),
    );
    return app.listen({ host, port });
  }

  async stop(): Promise<void> {
    this.#timers.cancelAll();
    await this.#app?.close();
    this.#app = undefined;
  }

  #answer(reply: FastifyReply, answer: HttpReply): FastifyReply {
    return sendReply(reply, answer, this.#timers);
  }
}

function callOf(request: FastifyRequest): GraphCall {
  const { version, id } = request.params as { readonly version: string; readonly id: string };
  return {
    method: request.method,
    path: request.url,
    version,
    phoneNumberId: id,
    authorization: request.headers.authorization,
    body: typeof request.body === "string" ? request.body : "",
  };
}
