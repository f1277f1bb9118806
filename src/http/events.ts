import type { ServerResponse } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import Type from "typebox";
import type { Clock, Log, SwitchboardPort } from "#engine/ports.ts";
import type { App } from "./app.ts";
import { eventView } from "./call-view.ts";
import { ApiError, refusals } from "./errors.ts";

/** Listeners at once; each costs a socket and a copy of every event. */
const MAX_STREAMS = 50;
/** What may wait for a listener that reads too slowly, bytes; beyond it the stream is cut and has to come again. */
const MAX_BACKLOG_BYTES = 1_048_576;
/** Proxies cut a connection that is silent for 30 to 60 s. */
const KEEP_ALIVE_MS = 15_000;
/** What a browser waits before it comes again, milliseconds. */
const RETRY_MS = 2_000;

const schema = {
  summary: "The timelines of all calls as they happen",
  description:
    "Server-sent events. Each message is JSON: `call_id`, `at`, `type`, `data`, as in the `events` of a call. Nothing is " +
    "repeated: what was before is in `GET /v1/calls/{id}`.",
  operationId: "streamEvents",
  tags: ["calls"],
  querystring: Type.Object(
    { call_id: Type.Optional(Type.String({ maxLength: 64, description: "Only this call." })) },
    { additionalProperties: false },
  ),
  response: {
    200: {
      description: "A stream without end.",
      content: { "text/event-stream": { schema: Type.String() } },
    },
    ...refusals(400, 401, 403, 429, 500, 503),
  },
} as const;

/** Everybody who listens to `GET /v1/events` and `GET /v1/live`. */
export class EventStreams {
  readonly #switchboard: SwitchboardPort;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #open = new Map<ServerResponse, () => void>();
  #stopped = false;

  constructor(parts: { readonly switchboard: SwitchboardPort; readonly clock: Clock; readonly log: Log }) {
    this.#switchboard = parts.switchboard;
    this.#clock = parts.clock;
    this.#log = parts.log;
  }

  get size(): number {
    return this.#open.size;
  }

  routes(app: App): void {
    app.get("/v1/events", { schema }, (request, reply) => {
      const { call_id: onlyCall } = request.query;
      this.open(request, reply, (send) =>
        this.#switchboard.watch((callId, event) => {
          if (onlyCall === undefined || callId === onlyCall) send({ call_id: callId, ...eventView(event) });
        }),
      );
    });
  }

  /** Makes the answer a stream of server-sent events. `subscribe` is given what sends one, and returns what unsubscribes. */
  open(request: FastifyRequest, reply: FastifyReply, subscribe: (send: (message: object) => void) => () => void): void {
    if (this.#open.size >= MAX_STREAMS || this.#stopped)
      throw new ApiError(503, "too_many_streams", `There are ${MAX_STREAMS} streams already.`, {
        hint: "Close one.",
        headers: { "retry-after": "5" },
      });
    reply.hijack();
    reply.raw.writeHead(200, {
      "content-type": "text/event-stream",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      // nginx would otherwise gather events in its buffer.
      "x-accel-buffering": "no",
      "x-request-id": request.id,
    });
    this.#serve(reply.raw, subscribe);
  }

  #serve(stream: ServerResponse, subscribe: (send: (message: object) => void) => () => void): void {
    const send = (text: string): void => {
      stream.write(text);
      if (stream.writableLength <= MAX_BACKLOG_BYTES) return;
      this.#log.warn({ backlog_bytes: stream.writableLength }, "event stream cut: its listener reads too slowly");
      stream.destroy();
    };
    // JSON holds no line break, so a message is one `data` line.
    const unwatch = subscribe((message) => send(`data: ${JSON.stringify(message)}\n\n`));
    let cancel = (): void => undefined;
    const keepAlive = (): void => {
      cancel = this.#clock.after(KEEP_ALIVE_MS, () => {
        send(": still here\n\n");
        keepAlive();
      });
    };
    const close = (): void => {
      unwatch();
      cancel();
      this.#open.delete(stream);
    };
    this.#open.set(stream, close);
    stream.once("close", close);
    stream.on("error", (error) => this.#log.debug({ err: error }, "event stream broke"));
    keepAlive();
    send(`retry: ${RETRY_MS}\n: connected\n\n`);
  }

  /** Ends all streams and takes no more. */
  stop(): void {
    this.#stopped = true;
    for (const [stream, close] of this.#open) {
      close();
      stream.end();
    }
  }
}
