import { createHash, randomBytes } from "node:crypto";
import { type DigestChallenge, digestCredentials, type HashFunction, parseChallenges } from "#core/sip/digest.ts";
import type { Answer, Headers } from "./message.ts";

/** A first try, one stale nonce, one proxy before the server: what goes beyond that does not end. */
const MAX_TRIES = 3;

const hash: HashFunction = (name, text) =>
  createHash(name === "MD5" ? "md5" : "sha256")
    .update(text)
    .digest("hex");

interface Held {
  readonly challenge: DigestChallenge;
  uses: number;
}

/** The request that a challenge was for. */
export interface ChallengedRequest {
  readonly method: string;
  readonly uri: string;
  readonly body: string;
}

/**
 * Answers the digest challenges of one call (RFC 3261 §22.2, §22.3). The client library does this for MD5 only, once, and with the last
 * of several challenges.
 */
export class DigestSession {
  readonly #username: string;
  readonly #password: string;
  /** By header: a server's and a proxy's challenge may both have to be answered. */
  readonly #held = new Map<string, Held>();
  readonly #tries = new Map<string, number>();

  constructor(username: string, password: string) {
    this.#username = username;
    this.#password = password;
  }

  /** Headers for the same request once more; undefined when another try is of no use. */
  answer(answer: Answer, request: ChallengedRequest): Headers | undefined {
    if (answer.status !== 401 && answer.status !== 407) return undefined;
    const tries = (this.#tries.get(request.method) ?? 0) + 1;
    this.#tries.set(request.method, tries);
    if (tries > MAX_TRIES) return undefined;
    const [asks, answers] =
      answer.status === 401
        ? (["WWW-Authenticate", "Authorization"] as const)
        : (["Proxy-Authenticate", "Proxy-Authorization"] as const);
    // RFC 8760 §2.4: the topmost that we can do.
    const challenge = parseChallenges(answer.header(asks))[0];
    if (challenge === undefined) return undefined;
    const before = this.#held.get(answers);
    // Challenged again by the same realm, for other reasons than an old nonce: the password is wrong.
    const refused = before !== undefined && before.challenge.realm === challenge.realm && !challenge.stale;
    if (refused && tries > 1) return undefined;
    this.#held.set(answers, { challenge, uses: 0 });
    return this.repeat(request);
  }

  /** Credentials for what was challenged before: another request, or the same one for other reasons. */
  repeat(request: ChallengedRequest): Headers {
    return Object.fromEntries([...this.#held].map(([name, held]) => [name, this.#credentials(held, request)]));
  }

  #credentials(held: Held, request: ChallengedRequest): string {
    held.uses += 1;
    return digestCredentials(
      held.challenge,
      {
        ...request,
        username: this.#username,
        password: this.#password,
        nonceCount: held.uses,
        clientNonce: randomBytes(12).toString("hex"),
      },
      hash,
    );
  }
}
