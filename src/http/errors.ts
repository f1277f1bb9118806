import type { Socket } from "node:net";
import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import Type from "typebox";
import { PonteError } from "#core/error.ts";
import type { Log } from "#engine/ports.ts";

/** A refusal that the caller of the API is told as it is. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly code: string;
  readonly hint: string | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: string,
    message: string,
    more: { readonly hint?: string; readonly headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = more.hint;
    this.headers = more.headers ?? {};
  }
}

/** The one shape of every answer of 400 and above. */
export const errorBody = Type.Object(
  {
    error: Type.Object({
      code: Type.String({ description: "A stable word for machines.", examples: ["not_found"] }),
      message: Type.String({ description: "What is wrong, for people." }),
      hint: Type.Optional(Type.String({ description: "What to do about it." })),
    }),
  },
  { description: "A refusal." },
);

const meanings: Readonly<Record<number, string>> = {
  400: "The request is malformed; the message names the field.",
  401: "The API key is missing or wrong.",
  403: "The request is authentic but not allowed.",
  404: "There is no such thing.",
  408: "The request did not arrive in time.",
  409: "The thing is not in a state that allows this.",
  413: "The body is too large.",
  415: "The body is of a type that is not understood.",
  429: "Too many wrong API keys, or too many streams; `Retry-After` says when to try again.",
  500: "A defect of ponte; the log has the details under the request id.",
  502: "Another system gave no usable answer.",
  503: "Something that is needed is away at the moment; try again later.",
};

/** The refusals of a route, for its documentation. */
export function refusals(...statuses: readonly number[]): Record<number, typeof errorBody> {
  return Object.fromEntries(
    statuses.map((status) => [status, { ...errorBody, description: meanings[status] ?? "A refusal." }]),
  );
}

/** How long a caller should wait when the database is away, seconds. */
const STORE_RETRY_S = 2;

/** Any error as what the caller is told of it. Only texts that were written for callers pass; the rest is for the log. */
export function toApiError(error: unknown, requestId: string): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof PonteError) return fromPonteError(error, requestId);
  const known = error as Partial<FastifyError> | null;
  if (Array.isArray(known?.validation)) return fromValidation(known as FastifyError);
  if (known?.code === "FST_ERR_HANDLER_TIMEOUT")
    return new ApiError(503, "timeout", "The answer took too long.", { hint: "Try again later." });
  const status = known?.statusCode;
  if (typeof known?.code === "string" && known.code.startsWith("FST_") && status !== undefined && status < 500)
    return new ApiError(status, fastifyCodes[status] ?? "bad_request", known.message ?? "The request is malformed.");
  return new ApiError(500, "internal_error", "Something went wrong inside ponte.", {
    hint: `Look for request_id ${requestId} in the log.`,
  });
}

const fastifyCodes: Readonly<Record<number, string>> = {
  404: "not_found",
  413: "body_too_large",
  414: "uri_too_long",
  415: "unsupported_media_type",
};

function fromPonteError(error: PonteError, requestId: string): ApiError {
  if (error.code === "bad_cursor")
    return new ApiError(400, "invalid_request", "Query parameter cursor is not one that ponte gave out.", {
      hint: "Take next of the page before as it is, or leave cursor out to start at the newest.",
    });
  if (error.code === "event_refused")
    return new ApiError(400, error.code, "The event cannot be stored as it is.", {
      hint: "Text must be valid Unicode without the character U+0000, and numbers finite.",
    });
  // The message of a store failure may name hosts and statements, and webhooks are answered without a key.
  if (error.retryable)
    return new ApiError(503, error.code, "Something that ponte needs is away at the moment.", {
      hint: "Try again later; /ready names what is missing.",
      headers: { "retry-after": String(STORE_RETRY_S) },
    });
  return new ApiError(500, error.code, "Something went wrong inside ponte.", {
    hint: `Look for request_id ${requestId} in the log.`,
  });
}

const places: Readonly<Record<string, string>> = {
  querystring: "Query parameter",
  params: "Path parameter",
  headers: "Header",
  body: "Body field",
};

/** Names the first field that breaks the schema: `Query parameter limit must be <= 200`. */
function fromValidation(error: FastifyError): ApiError {
  const first = error.validation?.[0];
  const place = places[error.validationContext ?? "body"] ?? "Field";
  const params: Readonly<Record<string, unknown>> = first?.params ?? {};
  const path = (first?.instancePath ?? "").slice(1).replaceAll("/", ".");
  const named = params["missingProperty"] ?? params["additionalProperty"];
  const field = [path, typeof named === "string" ? named : ""].filter((part) => part !== "").join(".");
  const allowed = Array.isArray(params["allowedValues"]) ? `: ${params["allowedValues"].join(", ")}` : "";
  const what =
    first?.keyword === "additionalProperties"
      ? "is not known"
      : first?.keyword === "required"
        ? "is missing"
        : `${first?.message ?? "is wrong"}${allowed}`;
  return new ApiError(400, "invalid_request", `${place} ${field} ${what}.`.replaceAll("  ", " "), {
    hint: "See /openapi.json.",
  });
}

/** The body of a refusal, as `errorBody` documents it. */
export function bodyOf(error: ApiError) {
  return {
    error: {
      code: error.code,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    },
  };
}

/** Turns every error of a route into an answer, and those that a person should see into a log line. */
export function answerErrors(log: Log) {
  return (error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const answer = toApiError(error, request.id);
    const facts = { request_id: request.id, method: request.method, route: request.routeOptions.url, err: error };
    if (answer.status === 500) log.error(facts, "http request failed");
    else if (answer.status === 503) log.warn(facts, "http request refused for now");
    return reply.code(answer.status).headers(answer.headers).send(bodyOf(answer));
  };
}

/** For paths that no route has. */
export function answerUnknown(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const path = request.url.split("?", 1)[0] ?? "";
  const error = new ApiError(404, "not_found", `There is no ${request.method} ${path.slice(0, 200)}.`, {
    hint: "See /openapi.json for what there is.",
  });
  return reply.code(404).send(bodyOf(error));
}

const brokenRequests: Readonly<Record<string, readonly [status: string, code: string, message: string]>> = {
  HPE_HEADER_OVERFLOW: ["431 Request Header Fields Too Large", "headers_too_large", "The headers are too large."],
  ERR_HTTP_REQUEST_TIMEOUT: ["408 Request Timeout", "timeout", "The request did not arrive in time."],
};

/** For bytes that are not HTTP: no request exists yet, so the answer is written by hand. */
export function answerGarbage(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, code, message] = brokenRequests[error.code ?? ""] ?? [
    "400 Bad Request",
    "bad_request",
    "This is not HTTP.",
  ];
  const body = JSON.stringify({ error: { code, message } });
  const head = [
    `HTTP/1.1 ${status}`,
    "Connection: close",
    "Content-Type: application/json",
    `Content-Length: ${body.length}`,
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}
