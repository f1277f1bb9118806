import { createHash, createHmac, timingSafeEqual } from "node:crypto";

const HEADER = /^sha256=([0-9a-f]{64})$/i;

/**
 * Whether `X-Hub-Signature-256` fits the body: HMAC-SHA-256 of the raw bytes with the app secret. Meta escapes slashes and
 * non-ASCII characters in its own way, so a body that was parsed and written again has another signature.
 *
 * Several secrets are for the time in which one is changed. All are tried whatever the first ones say, and compared in
 * constant time, so that the answer's delay tells nothing.
 */
export function signatureFits(rawBody: Buffer, header: string | undefined, secrets: readonly string[]): boolean {
  const claimed = HEADER.exec(header ?? "")?.[1];
  if (claimed === undefined) return false;
  const claimedBytes = Buffer.from(claimed, "hex");
  let fits = false;
  for (const secret of secrets) {
    // An HMAC with an empty key is one that anybody can make.
    if (secret === "") continue;
    const expected = createHmac("sha256", secret).update(rawBody).digest();
    fits = timingSafeEqual(expected, claimedBytes) || fits;
  }
  return fits;
}

/** Equality of two texts in constant time, whatever their lengths. */
export function sameSecret(one: string, other: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}
