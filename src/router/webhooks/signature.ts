import { createHmac, timingSafeEqual } from "node:crypto";

/**
 * `ponte-signature: t=1760681506,v1=5257a8…[,v1=…]`: HMAC-SHA-256 in hex over `<t>.<body>`, one for each secret that is valid
 * now. `t` is the time of this attempt in Unix seconds; who checks it refuses what is older than a few minutes, so that a
 * recorded request cannot be sent again.
 */
export function signWebhook(body: Buffer, secrets: readonly string[], unixSeconds: number): string {
  return [`t=${unixSeconds}`, ...secrets.map((secret) => `v1=${hmac(body, secret, unixSeconds).toString("hex")}`)].join(
    ",",
  );
}

/** After a rotation the old secret signs as well for this long, so that receivers can change theirs. */
export const OLD_SECRET_MS = 24 * 3_600_000;

/** What receivers should allow between `t` and their own clock. */
export const SIGNATURE_TOLERANCE_S = 300;

/** How a receiver checks it; for the sandbox and for tests. */
export function webhookSignatureFits(
  body: Buffer,
  header: string | undefined,
  secret: string,
  nowSeconds: number,
  toleranceS = SIGNATURE_TOLERANCE_S,
): boolean {
  const parts = (header ?? "").split(",").map((part) => part.trim().split("="));
  const time = Number(parts.find(([name]) => name === "t")?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(time) || Math.abs(nowSeconds - time) > toleranceS || secret === "") return false;
  const expected = hmac(body, secret, time);
  return parts.some(([name, hex = ""]) => {
    const claimed = Buffer.from(hex, "hex");
    return name === "v1" && claimed.length === expected.length && timingSafeEqual(claimed, expected);
  });
}

function hmac(body: Buffer, secret: string, unixSeconds: number): Buffer {
  return createHmac("sha256", secret).update(`${unixSeconds}.`).update(body).digest();
}
