import type { Json } from "#core/json-read.ts";
import { isObject, numberAt, objectAt, parseJson, textAt } from "#core/json-read.ts";
import type { Clock } from "#engine/ports.ts";

/** One HTTP request to the Graph API and what came of it, as a value. Decides nothing. */

export interface GraphRequest {
  readonly url: string;
  readonly accessToken: string;
  readonly body: object;
  /** The request is given up after this time, milliseconds. */
  readonly timeoutMs: number;
  /** Gives the request up at once. */
  readonly signal: AbortSignal;
}

/** Meta's error object, cleaned. */
export interface GraphRefusal {
  readonly code: number;
  readonly subcode?: number;
  readonly message: string;
  readonly details?: string;
  readonly fbtraceId?: string;
  /** Meta's `is_transient`. */
  readonly transient: boolean;
}

export type Exchange =
  | { readonly type: "success"; readonly answer: Json }
  | {
      readonly type: "refused";
      readonly httpStatus: number;
      readonly refusal: GraphRefusal;
      /** Of the header `Retry-After` in seconds form (RFC 9110 §10.2.3). */
      readonly retryAfterMs?: number;
    }
  /** Nothing usable came back. `sent` is false when Meta certainly has not seen the request. */
  | { readonly type: "lost"; readonly httpStatus: number; readonly sent: boolean; readonly message: string };

/** Answers to call control have 60 bytes, errors 500. */
export const MAX_ANSWER_BYTES = 65_536;
const MAX_MESSAGE_LENGTH = 300;
/** A pause longer than this outlasts every call that rings. */
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

export async function exchange(request: GraphRequest, clock: Clock): Promise<Exchange> {
  const abort = new AbortController();
  const stopTimer = clock.after(request.timeoutMs, () => abort.abort("timeout"));
  const giveUp = () => abort.abort("stopped");
  request.signal.addEventListener("abort", giveUp, { once: true });
  try {
    if (request.signal.aborted) return { type: "lost", httpStatus: 0, sent: false, message: "ponte is stopping" };
    return await post(request, abort.signal);
  } catch (error) {
    return lost(error, abort.signal, request.timeoutMs);
  } finally {
    stopTimer();
    request.signal.removeEventListener("abort", giveUp);
  }
}

async function post({ url, accessToken, body }: GraphRequest, signal: AbortSignal): Promise<Exchange> {
  const response = await fetch(url, {
    method: "POST",
    headers: { authorization: `Bearer ${accessToken}`, "content-type": "application/json" },
    body: JSON.stringify(body),
    // A redirection would carry the token to somebody else.
    redirect: "manual",
    signal,
  });
  const httpStatus = response.status;
  const text = await readAnswer(response);
  if (text === undefined)
    return { type: "lost", httpStatus, sent: true, message: `the answer is longer than ${MAX_ANSWER_BYTES} bytes` };
  const answer = parseJson(text);
  if (isObject(answer) && isObject(answer["error"])) {
    const retryAfterMs = retryAfterOf(response);
    const refusal = refusalOf(answer["error"], accessToken);
    return { type: "refused", httpStatus, refusal, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  }
  if (response.ok && isObject(answer) && answer["success"] !== false) return { type: "success", answer };
  if (response.ok && !isObject(answer))
    return { type: "lost", httpStatus, sent: true, message: "the answer is no JSON object" };
  const retryAfterMs = retryAfterOf(response);
  const message = response.ok ? "Meta answered success: false" : `HTTP status ${httpStatus}`;
  return {
    type: "refused",
    httpStatus,
    refusal: { code: 0, message, transient: false },
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

/** The body as text, or undefined when it is too long; the connection is then dropped. */
async function readAnswer(response: Response): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    // Leaving the loop cancels the stream.
    if (length > MAX_ANSWER_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function refusalOf(error: Readonly<Record<string, unknown>>, accessToken: string): GraphRefusal {
  const subcode = numberAt(error, "error_subcode");
  const details = textAt(objectAt(error, "error_data"), "details", MAX_MESSAGE_LENGTH);
  const fbtraceId = textAt(error, "fbtrace_id", 64);
  return {
    code: numberAt(error, "code") ?? 0,
    message: redact(textAt(error, "message", MAX_MESSAGE_LENGTH) ?? "an error without a message", accessToken),
    transient: error["is_transient"] === true,
    ...(subcode === undefined ? {} : { subcode }),
    ...(details === undefined ? {} : { details: redact(details, accessToken) }),
    ...(fbtraceId === undefined ? {} : { fbtraceId }),
  };
}

/** Meta repeats a malformed token in its error message. Its tokens begin with EAA. */
function redact(text: string, accessToken: string): string {
  return text.replaceAll(accessToken, "[token]").replace(/\bEAA[\w-]{8,}/g, "[token]");
}

function retryAfterOf(response: Response): number | undefined {
  const seconds = response.headers.get("retry-after") ?? "";
  return /^\d{1,5}$/.test(seconds) ? Math.min(Number(seconds), MAX_RETRY_AFTER_S) * 1_000 : undefined;
}

function lost(error: unknown, signal: AbortSignal, timeoutMs: number): Exchange {
  if (signal.aborted) {
    const message = signal.reason === "timeout" ? `no answer within ${timeoutMs} ms` : "ponte is stopping";
    return { type: "lost", httpStatus: 0, sent: true, message };
  }
  const codes = codesOf(error);
  const sent = codes.length === 0 || !codes.every((code) => NOT_SENT.has(code) || isCertificateTrouble(code));
  return { type: "lost", httpStatus: 0, sent, message: codes.join(", ") || "the request failed" };
}

/** `fetch` fails with a TypeError whose cause, or the causes of its cause, hold the system's word. */
function codesOf(error: unknown): readonly string[] {
  const cause = error instanceof Error ? error.cause : undefined;
  const causes = cause instanceof AggregateError ? cause.errors : [cause];
  return causes.flatMap((each: unknown) => {
    const code = isObject(each) || each instanceof Error ? (each as { readonly code?: unknown }).code : undefined;
    return typeof code === "string" ? [code] : [];
  });
}

/** A handshake that failed has carried nothing. */
function isCertificateTrouble(code: string): boolean {
  return /CERT|^ERR_TLS_|^ERR_SSL_|^UNABLE_TO_/.test(code);
}
