import { PonteError } from "#core/error.ts";

/** What postgres.js and sockets say when there is no server to talk to. */
const AWAY = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_ENDED",
  "CONNECTION_DESTROYED",
  "CONNECT_TIMEOUT",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT", // The socket of a server that is down.
  "ENOTFOUND",
  "EAI_AGAIN",
  "EPIPE",
  "ETIMEDOUT",
]);

/**
 * SQLSTATEs (Postgres, appendix A) after which the same statement may succeed: 08 connection, 40 rolled back for another,
 * 53 out of resources, 55P03 lock not available, 57 operator intervention (shutdown, starting up, cancelled by a limit).
 */
const PASSING = /^(08|40|53|57)|^55P03$/;

export function codeOf(error: unknown): string {
  const code = (error as { readonly code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "";
}

/** Whether the database is away or busy, so that trying again later is right; otherwise the statement or its data is wrong. */
export function mayPass(error: unknown): boolean {
  if (error instanceof PonteError) return error.retryable;
  const code = codeOf(error);
  return AWAY.has(code) || (code.length === 5 && PASSING.test(code));
}

/** The same failure in ponte's words; statements and their data (phone numbers) stay out of the message. */
export function storeFailure(error: unknown): PonteError {
  if (error instanceof PonteError) return error;
  const code = codeOf(error);
  const reason = error instanceof Error ? error.message : String(error);
  return mayPass(error)
    ? new PonteError("store_unavailable", `the database does not answer (${code}: ${reason})`, {
        cause: error,
        retryable: true,
      })
    : new PonteError("store_failed", `the database refused a statement (${code}: ${reason})`, { cause: error });
}
