/**
 * HTTP digest as SIP uses it (RFC 3261 §22, RFC 7616, RFC 8760): reading a challenge and computing what answers it. The hash function
 * comes in as an argument.
 */

export type DigestHash = "MD5" | "SHA-256";

/** Lower-case hexadecimal of the hash of the text's UTF-8 bytes. */
export type HashFunction = (hash: DigestHash, text: string) => string;

export interface DigestChallenge {
  readonly realm: string;
  readonly nonce: string;
  readonly opaque?: string;
  readonly hash: DigestHash;
  /** The algorithm ends in `-sess`: nonce and client nonce are part of the key (RFC 7616 §3.4.2). */
  readonly session: boolean;
  /** As the challenge wrote it; absent where it named none, which means MD5. */
  readonly algorithm?: string;
  /** `undefined` for a challenge of RFC 2069, which knows no qop. */
  readonly qop: "auth" | "auth-int" | undefined;
  /** The credentials were right, only the nonce was too old. */
  readonly stale: boolean;
}

export interface DigestRequest {
  readonly username: string;
  readonly password: string;
  readonly method: string;
  readonly uri: string;
  readonly body: string;
  /** How often this nonce has been used, this time included. */
  readonly nonceCount: number;
  readonly clientNonce: string;
}

/** Longer values are not challenges that anybody sends in earnest. */
const MAX_CHALLENGE_CHARACTERS = 8_192;

/**
 * The challenges of one WWW-Authenticate or Proxy-Authenticate value, in order; several headers may have been joined by a comma.
 * Those with another scheme, algorithm or qop than we can answer are left out.
 */
export function parseChallenges(value: string | undefined): DigestChallenge[] {
  if (value === undefined || value.length > MAX_CHALLENGE_CHARACTERS) return [];
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  const token = /\s*,?\s*(?:([A-Za-z][\w-]*)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]*)|([A-Za-z][\w-]*)(?=\s|$))/gy;
  for (let found = token.exec(value); found !== null; found = token.exec(value)) {
    const [, name, text = "", scheme] = found;
    if (scheme !== undefined) challenges.push({ scheme: scheme.toLowerCase(), parameters: new Map() });
    else if (name !== undefined) challenges.at(-1)?.parameters.set(name.toLowerCase(), unquote(text));
  }
  return challenges.flatMap(({ scheme, parameters }) => (scheme === "digest" ? understood(parameters) : []));
}

function understood(parameters: ReadonlyMap<string, string>): DigestChallenge[] {
  const realm = parameters.get("realm");
  const nonce = parameters.get("nonce");
  const algorithm = parameters.get("algorithm");
  const opaque = parameters.get("opaque");
  const match = /^(MD5|SHA-256)(-sess)?$/i.exec(algorithm ?? "MD5");
  const offered = parameters
    .get("qop")
    ?.toLowerCase()
    .split(/[\s,]+/);
  const qop = offered?.includes("auth") ? "auth" : offered?.includes("auth-int") ? "auth-int" : undefined;
  if (realm === undefined || nonce === undefined || match === null) return [];
  if (offered !== undefined && qop === undefined) return [];
  return [
    {
      realm,
      nonce,
      hash: match[1]?.toUpperCase() === "MD5" ? "MD5" : "SHA-256",
      session: match[2] !== undefined,
      qop,
      stale: parameters.get("stale")?.toLowerCase() === "true",
      ...(opaque === undefined ? {} : { opaque }),
      ...(algorithm === undefined ? {} : { algorithm }),
    },
  ];
}

/** RFC 7616 §3.4.1 to §3.4.3. */
export function digestResponse(challenge: DigestChallenge, request: DigestRequest, hash: HashFunction): string {
  const h = (text: string): string => hash(challenge.hash, text);
  const user = h(`${request.username}:${challenge.realm}:${request.password}`);
  const key = challenge.session ? h(`${user}:${challenge.nonce}:${request.clientNonce}`) : user;
  const integrity = challenge.qop === "auth-int" ? `:${h(request.body)}` : "";
  const what = h(`${request.method}:${request.uri}${integrity}`);
  if (challenge.qop === undefined) return h(`${key}:${challenge.nonce}:${what}`);
  const count = nonceCount(request);
  return h(`${key}:${challenge.nonce}:${count}:${request.clientNonce}:${challenge.qop}:${what}`);
}

/** The value of Authorization or Proxy-Authorization. */
export function digestCredentials(challenge: DigestChallenge, request: DigestRequest, hash: HashFunction): string {
  const parts = [
    `username=${quote(request.username)}`,
    `realm=${quote(challenge.realm)}`,
    `nonce=${quote(challenge.nonce)}`,
    `uri=${quote(request.uri)}`,
    `response="${digestResponse(challenge, request, hash)}"`,
  ];
  if (challenge.algorithm !== undefined) parts.push(`algorithm=${challenge.algorithm}`);
  if (challenge.qop !== undefined) {
    parts.push(`qop=${challenge.qop}`, `nc=${nonceCount(request)}`, `cnonce=${quote(request.clientNonce)}`);
  } else if (challenge.session) parts.push(`cnonce=${quote(request.clientNonce)}`);
  if (challenge.opaque !== undefined) parts.push(`opaque=${quote(challenge.opaque)}`);
  return `Digest ${parts.join(", ")}`;
}

function nonceCount(request: DigestRequest): string {
  return request.nonceCount.toString(16).padStart(8, "0");
}

function unquote(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, "$1") : text;
}

function quote(text: string): string {
  return `"${text.replace(/[\\"]/g, (character) => `\\${character}`)}"`;
}
