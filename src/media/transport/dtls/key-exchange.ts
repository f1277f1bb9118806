import { createECDH, createPublicKey, diffieHellman, generateKeyPairSync } from "node:crypto";
import { ALERT, DtlsRefusal } from "./wire.ts";

/** Named groups (RFC 8422 §5.1.1), the better first. */
export const GROUP_X25519 = 29;
export const GROUP_P256 = 23;
export const GROUPS: readonly number[] = [GROUP_X25519, GROUP_P256];

/** An ephemeral key of ours. */
export interface KeyShare {
  readonly group: number;
  /** 32 bytes for X25519, 65 (an uncompressed point) for P-256. */
  readonly publicKey: Buffer;
  /** The premaster secret (RFC 8422 §5.10); refuses a key of the far end that is none. */
  derive(theirs: Buffer): Buffer;
}

export function makeKeyShare(group: number): KeyShare {
  return group === GROUP_X25519 ? x25519() : p256();
}

/** SubjectPublicKeyInfo of an X25519 key, without the key (RFC 8410 §4). */
const X25519_SPKI = Buffer.from("302a300506032b656e032100", "hex");

function x25519(): KeyShare {
  const pair = generateKeyPairSync("x25519");
  const publicKey = pair.publicKey.export({ type: "spki", format: "der" }).subarray(-32);
  return {
    group: GROUP_X25519,
    publicKey,
    derive: (theirs) =>
      orRefuse(() => {
        if (theirs.length !== 32) throw new RangeError("an X25519 key has 32 bytes");
        const key = createPublicKey({ key: Buffer.concat([X25519_SPKI, theirs]), format: "der", type: "spki" });
        // OpenSSL refuses keys of small order, whose result is zero (RFC 7748 §6.1).
        return diffieHellman({ privateKey: pair.privateKey, publicKey: key });
      }),
  };
}

function p256(): KeyShare {
  const ecdh = createECDH("prime256v1");
  const publicKey = ecdh.generateKeys();
  // OpenSSL checks that the point is on the curve.
  return { group: GROUP_P256, publicKey, derive: (theirs) => orRefuse(() => ecdh.computeSecret(theirs)) };
}

function orRefuse(derive: () => Buffer): Buffer {
  try {
    return derive();
  } catch (error) {
    throw new DtlsRefusal(ALERT.illegalParameter, `key share of the far end: ${String(error)}`);
  }
}
