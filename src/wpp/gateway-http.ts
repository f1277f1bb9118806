import type { Json } from "#core/json-read.ts";
import { isObject, parseJson } from "#core/json-read.ts";
import type { Clock } from "#engine/ports.ts";

/** One HTTP request to the gateway and what came of it, as a value. Decides nothing. */

export interface GatewayRequest {
  readonly method: "GET" | "POST";
  readonly url: string;
  readonly secret: string;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export type Exchange =
  | {
      readonly type: "answer";
      readonly httpStatus: number;
      readonly contentType: string;
      readonly bytes: Buffer;
      /** The body, when it is JSON. */
      readonly json: unknown;
      readonly retryAfterMs?: number;
    }
  /** `sent` is false when the gateway certainly has not seen the request. */
  | { readonly type: "lost"; readonly sent: boolean; readonly message: string };

/** A QR code as a picture has some 10 kB, a list of a hundred channels with theirs a megabyte. */
const MAX_ANSWER_BYTES = 4 * 1_048_576;
const MAX_RETRY_AFTER_S = 3_600;

/** Failures before the first byte of the request was on its way. */
const NOT_SENT = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "ERR_INVALID_URL",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "UND_ERR_CONNECT_TIMEOUT",
]);

export async function exchange(request: GatewayRequest, clock: Clock): Promise<Exchange> {
  if (request.signal.aborted) return { type: "lost", sent: false, message: "ponte is stopping" };
  const abort = new AbortController();
  const stopTimer = clock.after(request.timeoutMs, () => abort.abort("timeout"));
  const giveUp = () => abort.abort("stopped");
  request.signal.addEventListener("abort", giveUp, { once: true });
  try {
    return await perform(request, abort.signal);
  } catch (error) {
    if (!abort.signal.aborted) return lost(error);
    const message =
      abort.signal.reason === "timeout" ? `no answer within ${request.timeoutMs} ms` : "ponte is stopping";
    return { type: "lost", sent: true, message };
  } finally {
    stopTimer();
    request.signal.removeEventListener("abort", giveUp);
  }
}

async function perform(request: GatewayRequest, signal: AbortSignal): Promise<Exchange> {
  const { method, url, secret, body, headers } = request;
  const response = await fetch(url, {
    method,
    headers: {
      "x-gateway-secret": secret,
      accept: "application/json, image/png;q=0.9, text/plain;q=0.8",
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
      // A kept connection may be closed in the instant in which it is used again, and nobody can say then whether the message
      // was sent. A fresh one is refused, or it is not.
      connection: "close",
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    // A redirection would carry the secret to somebody else.
    redirect: "manual",
    signal,
  });
  const bytes = await readAnswer(response);
  if (bytes === undefined)
    return { type: "lost", sent: true, message: `the answer is longer than ${MAX_ANSWER_BYTES} bytes` };
  const seconds = response.headers.get("retry-after") ?? "";
  return {
    type: "answer",
    httpStatus: response.status,
    contentType: response.headers.get("content-type") ?? "",
    bytes,
    json: parseJson(bytes.toString("utf8")),
    ...(/^\d{1,5}$/.test(seconds) ? { retryAfterMs: Math.min(Number(seconds), MAX_RETRY_AFTER_S) * 1_000 } : {}),
  };
}

/** Undefined when it is too long; the connection is then dropped. */
async function readAnswer(response: Response): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    // Leaving the loop cancels the stream.
    if (length > MAX_ANSWER_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** `fetch` fails with a TypeError whose cause, or the causes of its cause, hold the system's word. */
function lost(error: unknown): Exchange {
  const cause = error instanceof Error ? error.cause : undefined;
  const causes = cause instanceof AggregateError ? cause.errors : [cause];
  const codes = causes.flatMap((each: unknown) => {
    const code = isObject(each) || each instanceof Error ? (each as { readonly code?: unknown }).code : undefined;
    return typeof code === "string" ? [code] : [];
  });
  // A TLS handshake that failed has carried nothing either.
  const unsent = (code: string) => NOT_SENT.has(code) || /CERT|^ERR_TLS_|^ERR_SSL_|^UNABLE_TO_/.test(code);
  const sent = codes.length === 0 || !codes.every(unsent);
  return { type: "lost", sent, message: codes.join(", ") || "the request failed" };
}

/** The object that an answer is about, whichever envelope it came in. */
export function unwrap(json: unknown, ...names: readonly string[]): Json | undefined {
  if (!isObject(json)) return undefined;
  for (const name of [...names, "data", "result", "response"]) {
    const inner = Array.isArray(json[name]) ? json[name][0] : json[name];
    if (isObject(inner)) return inner;
  }
  return json;
}
