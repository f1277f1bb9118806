import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { PonteError } from "#core/error.ts";

/**
 * Secrets of tenants, as they lie in the database:
 *
 *     | 0 | secret in clear |                                no key is configured
 *     | 1 | nonce, 12 bytes | tag, 16 bytes | ciphertext |   AES-256-GCM (NIST SP 800-38D)
 */
const CLEAR = 0;
const SEALED = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Shorter keys can be guessed. */
export const MIN_SECRET_KEY_LENGTH = 16;

/** Seals secrets before they are stored, and opens them. */
export class SecretBox {
  readonly #key: Buffer | undefined;

  /** @param key any text from the environment; without one secrets are stored in clear. */
  constructor(key: string | undefined) {
    if (key !== undefined && key.length < MIN_SECRET_KEY_LENGTH)
      throw new PonteError("secret_key_short", `the secret key needs at least ${MIN_SECRET_KEY_LENGTH} characters`);
    this.#key = key === undefined ? undefined : createHash("sha256").update(`ponte secret box\n${key}`).digest();
  }

  get seals(): boolean {
    return this.#key !== undefined;
  }

  seal(secret: string): Buffer {
    const text = Buffer.from(secret);
    if (this.#key === undefined) return Buffer.concat([Buffer.of(CLEAR), text]);
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce);
    const sealed = Buffer.concat([cipher.update(text), cipher.final()]);
    return Buffer.concat([Buffer.of(SEALED), nonce, cipher.getAuthTag(), sealed]);
  }

  /** Throws PonteError `secret_unreadable` when the key is another one than it was sealed with. */
  open(stored: Buffer): string {
    if (stored[0] === CLEAR) return stored.toString("utf8", 1);
    const unreadable = (cause?: unknown) =>
      new PonteError("secret_unreadable", "a stored secret cannot be opened with this secret key", { cause });
    if (stored[0] !== SEALED || this.#key === undefined || stored.length < 1 + NONCE_BYTES + TAG_BYTES)
      throw unreadable();
    try {
      const nonce = stored.subarray(1, 1 + NONCE_BYTES);
      const decipher = createDecipheriv("aes-256-gcm", this.#key, nonce);
      decipher.setAuthTag(stored.subarray(1 + NONCE_BYTES, 1 + NONCE_BYTES + TAG_BYTES));
      const text = [decipher.update(stored.subarray(1 + NONCE_BYTES + TAG_BYTES)), decipher.final()];
      return Buffer.concat(text).toString();
    } catch (cause) {
      throw unreadable(cause);
    }
  }
}
