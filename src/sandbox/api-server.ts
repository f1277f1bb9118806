import fastify, { type FastifyInstance, type FastifyReply } from "fastify";
import { type Clock, Timers } from "./clock.ts";
import { type HttpReply, sendReply } from "./http-reply.ts";

/** An SDP or a text of a few kilobytes is the largest thing that anybody has to say to a simulated API. */
const MAX_BODY_BYTES = 256 * 1024;

export interface ApiParts {
  /** Adds the routes. `send` gives an answer when and how it wants to be given. */
  readonly routes: (app: FastifyInstance, send: (reply: FastifyReply, answer: HttpReply) => FastifyReply) => void;
  /** What fastify refuses by itself, such as a body without end, in the words of this API. */
  readonly refusal: (message: string) => object;
}

/** The HTTP server of a simulated API. Bodies come as text, whatever they claim to be. */
export class ApiServer {
  readonly #parts: ApiParts;
  readonly #timers: Timers;
  #app: FastifyInstance | undefined;

  constructor(clock: Clock, parts: ApiParts) {
    this.#parts = parts;
    this.#timers = new Timers(clock);
  }

  /** Resolves with the base URL, without a final slash. */
  async start(host: string, port: number): Promise<string> {
    const app = fastify({ bodyLimit: MAX_BODY_BYTES, forceCloseConnections: true });
    this.#app = app;
    app.removeAllContentTypeParsers();
    app.addContentTypeParser("*", { parseAs: "string" }, (_request, body, done) => done(null, body));
    this.#parts.routes(app, (reply, answer) => sendReply(reply, answer, this.#timers));
    app.setErrorHandler((error: { readonly statusCode?: number; readonly message: string }, _request, reply) =>
      reply.code(error.statusCode ?? 500).send(this.#parts.refusal(error.message)),
    );
    return app.listen({ host, port });
  }

  async stop(): Promise<void> {
    this.#timers.cancelAll();
    await this.#app?.close();
    this.#app = undefined;
  }
}
