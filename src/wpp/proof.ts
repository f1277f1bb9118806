import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { WebhookRequest } from "#router/services.ts";

/** `absent`: nothing was shown that could be a proof. */
export type Proof = "good" | "wrong" | "absent";

/** Where gateways put the secret itself, and where a signature of the body: HMAC-SHA-256 in hex, `sha256=` before it or not. */
const SECRET_HEADERS = ["x-webhook-secret", "x-gateway-secret", "x-api-key"];
const SIGNATURE_HEADERS = [
  "x-hub-signature-256",
  "x-webhook-signature",
  "x-signature-256",
  "x-signature",
  "x-webhook-hmac",
];

/**
 * Whether a request comes from who knows one of the secrets. Every secret and every header is tried, and compared in constant
 * time, so that the answer's delay tells nothing. An empty secret is none.
 */
export function proofOf({ headers, body }: WebhookRequest, secrets: readonly string[]): Proof {
  const bearer = /^Bearer (.+)$/i.exec(headers["authorization"] ?? "")?.[1];
  const shown = [...SECRET_HEADERS.map((name) => headers[name]), bearer].filter((value) => value !== undefined);
  const signatures = SIGNATURE_HEADERS.flatMap((name) => {
    const hex = /^(?:sha256=)?([0-9a-f]{64})$/i.exec(headers[name] ?? "")?.[1];
    return hex === undefined ? (headers[name] === undefined ? [] : [Buffer.alloc(32)]) : [Buffer.from(hex, "hex")];
  });
  if (shown.length + signatures.length === 0) return "absent";
  let good = false;
  for (const secret of secrets) {
    if (secret === "") continue;
    for (const value of shown) good = same(digest(value), digest(secret)) || good;
    if (signatures.length === 0) continue;
    const expected = createHmac("sha256", secret).update(body).digest();
    for (const signature of signatures) good = same(signature, expected) || good;
  }
  return good ? "good" : "wrong";
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function same(one: Buffer, other: Buffer): boolean {
  return timingSafeEqual(one, other);
}
