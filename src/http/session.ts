import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import type { FastifyRequest } from "fastify";
import type { Clock } from "#engine/ports.ts";
import { ApiError } from "./errors.ts";

/** A working day; whoever comes back the next morning shows the key again. */
export const SESSION_MS = 12 * 3_600_000;
const COOKIE = "ponte_session";
const CIPHER = "aes-256-gcm";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const TIME_BYTES = 8;
/** What a page sends with every request that changes something: another site cannot, without asking us first. */
const PAGE_HEADER = "x-ponte-page";

/**
 * Sessions of the pages. A session is a cookie that holds the API key, sealed with AES-256-GCM, and the time of its end:
 *
 *     nonce (12) | sealed { end, Unix ms (8) | API key } | tag (16)
 *
 * Nothing is kept here. The key in it is checked at every request, so that a revoked key ends its sessions at once.
 */
export class Sessions {
  readonly #clock: Pick<Clock, "now">;
  readonly #key: Buffer;

  /** @param secret the same on every node and after a restart, or sessions end with the process. */
  constructor(clock: Pick<Clock, "now">, secret?: string) {
    this.#clock = clock;
    this.#key =
      secret === undefined ? randomBytes(32) : createHash("sha256").update(`ponte session\0${secret}`).digest();
  }

  /** The value of `Set-Cookie` that begins a session. */
  begin(apiKey: string, request: FastifyRequest): string {
    const nonce = randomBytes(NONCE_BYTES);
    const end = Buffer.alloc(TIME_BYTES);
    end.writeBigUInt64BE(BigInt(Math.trunc(this.#clock.now() + SESSION_MS)));
    const cipher = createCipheriv(CIPHER, this.#key, nonce);
    const sealed = [cipher.update(Buffer.concat([end, Buffer.from(apiKey)])), cipher.final(), cipher.getAuthTag()];
    const value = Buffer.concat([nonce, ...sealed]).toString("base64url");
    return cookie(value, SESSION_MS / 1_000, request);
  }

  /** The value of `Set-Cookie` that ends it. */
  end(request: FastifyRequest): string {
    return cookie("", 0, request);
  }

  /** The API key of the session that a request comes in; undefined when there is none, or it has ended. */
  keyOf(request: FastifyRequest): string | undefined {
    const value = cookieOf(request.headers.cookie);
    return value === undefined ? undefined : this.#open(Buffer.from(value, "base64url"));
  }

  #open(bytes: Buffer): string | undefined {
    if (bytes.length < NONCE_BYTES + TIME_BYTES + TAG_BYTES) return undefined;
    const decipher = createDecipheriv(CIPHER, this.#key, bytes.subarray(0, NONCE_BYTES));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    try {
      const plain = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
      return Number(plain.readBigUInt64BE()) > this.#clock.now() ? plain.toString("utf8", TIME_BYTES) : undefined;
    } catch {
      // Forged, or sealed by a process that has ended.
      return undefined;
    }
  }
}

function cookie(value: string, seconds: number, request: FastifyRequest): string {
  const secure = request.protocol === "https" ? "; Secure" : "";
  return `${COOKIE}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure}`;
}

function cookieOf(header: string | undefined): string | undefined {
  for (const pair of (header ?? "").split(";")) {
    const [name, value] = pair.trim().split("=", 2);
    if (name === COOKIE && value !== undefined && value !== "") return value;
  }
  return undefined;
}

/**
 * Refuses a change that another site's page may have sent with our user's cookie. `SameSite=Strict` keeps the cookie from other
 * sites but not from other hosts of ours; a header of our own cannot be sent across origins without a preflight, which is
 * answered by nobody here.
 */
export function refuseForgery(request: FastifyRequest): void {
  if (request.method === "GET" || request.method === "HEAD") return;
  const site = request.headers["sec-fetch-site"];
  if (request.headers[PAGE_HEADER] !== undefined && (site === undefined || site === "same-origin")) return;
  throw new ApiError(403, "cross_site_request", "A session changes things from ponte's own pages only.", {
    hint: "Programs send the API key itself.",
  });
}
