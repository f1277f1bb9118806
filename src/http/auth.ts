import { isIPv6 } from "node:net";
import type { FastifyRequest } from "fastify";
import type { ApiKeysPort, Clock } from "#engine/ports.ts";
import { ApiError } from "./errors.ts";
import { refuseForgery, type Sessions } from "./session.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Name of the API key that the request came with; empty where none is needed. */
    keyName: string;
    /** Tenant of that key; empty where the key names none and no other is set. */
    tenantId: string;
  }
}

/** Wrong keys from one address within the window; a person who mistypes stays below, a machine that guesses does not. */
const MAX_FAILED_ATTEMPTS = 20;
const FAILED_ATTEMPTS_WINDOW_MS = 60_000;
/** Addresses that are remembered; beyond it the one that failed longest ago is forgotten, so that memory stays bounded. */
const MAX_ADDRESSES = 10_000;
/** Longer than any key that is given out; what is longer is not looked up at all. */
const MAX_KEY_LENGTH = 256;

interface Attempts {
  count: number;
  readonly since: number;
}

/** Counts wrong keys by address. */
export class FailedAttempts {
  readonly #clock: Pick<Clock, "now">;
  readonly #byAddress = new Map<string, Attempts>();

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
  }

  /** Milliseconds for which this address is to be refused; 0 when it may try. */
  blockedForMs(address: string): number {
    const attempts = this.#current(networkOf(address));
    if (attempts === undefined || attempts.count < MAX_FAILED_ATTEMPTS) return 0;
    return attempts.since + FAILED_ATTEMPTS_WINDOW_MS - this.#clock.now();
  }

  failed(address: string): void {
    const network = networkOf(address);
    const attempts = this.#current(network) ?? { count: 0, since: this.#clock.now() };
    attempts.count += 1;
    // Deleted and set again, the map is ordered by the last failure.
    this.#byAddress.delete(network);
    this.#byAddress.set(network, attempts);
    if (this.#byAddress.size > MAX_ADDRESSES) {
      const oldest = this.#byAddress.keys().next();
      if (!oldest.done) this.#byAddress.delete(oldest.value);
    }
  }

  get size(): number {
    return this.#byAddress.size;
  }

  #current(network: string): Attempts | undefined {
    const attempts = this.#byAddress.get(network);
    if (attempts === undefined || this.#clock.now() - attempts.since < FAILED_ATTEMPTS_WINDOW_MS) return attempts;
    this.#byAddress.delete(network);
    return undefined;
  }
}

/** One subscriber has a whole /64 of IPv6 addresses (RFC 6177 §2), so the network is what is counted. */
function networkOf(address: string): string {
  if (!isIPv6(address) || address.startsWith("::ffff:")) return address;
  const [head = "", tail = ""] = address.split("::");
  const left = head.split(":").filter((group) => group !== "");
  const right = tail.split(":").filter((group) => group !== "");
  const middle = address.includes("::") ? Array<string>(Math.max(0, 8 - left.length - right.length)).fill("0") : [];
  return [...left, ...middle, ...right].slice(0, 4).join(":");
}

/** `Authorization: Bearer …`, or `X-Api-Key: …`. */
function keyOf(request: FastifyRequest): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? "")?.[1];
  if (bearer !== undefined) return bearer;
  const header = request.headers["x-api-key"];
  return typeof header === "string" && header !== "" ? header : undefined;
}

export interface Authentication {
  readonly keys: ApiKeysPort;
  readonly failures: FailedAttempts;
  /** Of the pages, where there are any. */
  readonly sessions?: Sessions;
  /** Of keys that name no tenant. */
  readonly tenantId?: string;
}

const challenge = { "www-authenticate": 'Bearer realm="ponte"' };

/** The hook that lets only requests with a good API key pass. The comparison in constant time is the port's. */
export function requireApiKey(authentication: Authentication) {
  return async (request: FastifyRequest): Promise<void> => {
    refuseGuessers(authentication, request);
    const key = keyOf(request) ?? sessionKey(authentication, request);
    if (key === undefined)
      throw new ApiError(401, "api_key_missing", "An API key is needed.", {
        hint: "Send it as Authorization: Bearer <key>, or as X-Api-Key: <key>.",
        headers: challenge,
      });
    await acceptKey(authentication, request, key);
  };
}

/** The hook, after that one, of what belongs to the tenant that runs the daemon: its calls. Without tenants everybody is that one. */
export function requireOperator(operator: string | undefined) {
  return async ({ tenantId }: FastifyRequest): Promise<void> => {
    if (operator === undefined || tenantId === operator) return;
    throw new ApiError(403, "wrong_tenant", "Calls belong to the tenant that runs this daemon.", {
      hint: "Use a key of that tenant.",
    });
  };
}

/** Refuses an address that has sent too many wrong keys. */
export function refuseGuessers({ failures }: Authentication, request: FastifyRequest): void {
  const blockedMs = failures.blockedForMs(request.ip);
  if (blockedMs > 0)
    throw new ApiError(429, "too_many_failed_attempts", "Too many wrong API keys came from this address.", {
      headers: { "retry-after": String(Math.ceil(blockedMs / 1_000)) },
    });
}

/** Lets the request act for the owner of the key, or refuses it and counts that. */
export async function acceptKey(
  { keys, failures, tenantId }: Authentication,
  request: FastifyRequest,
  key: string,
): Promise<void> {
  const owner = key.length > MAX_KEY_LENGTH ? undefined : await keys.verify(key);
  if (owner === undefined) {
    failures.failed(request.ip);
    throw new ApiError(401, "api_key_wrong", "This API key is not known.", {
      hint: "A key is shown once, when it is made; one can also be set with PONTE_API_KEY.",
      headers: challenge,
    });
  }
  request.keyName = owner.name;
  request.tenantId = owner.tenantId ?? tenantId ?? "";
}

function sessionKey({ sessions }: Authentication, request: FastifyRequest): string | undefined {
  const key = sessions?.keyOf(request);
  if (key !== undefined) refuseForgery(request);
  return key;
}
