import { constants, type KeyObject, sign, verify, X509Certificate } from "node:crypto";
import { ALERT, DtlsRefusal } from "./wire.ts";

interface Scheme {
  readonly id: number;
  readonly hash: "sha256" | "sha384" | "sha512";
  readonly key: "ec" | "rsa";
  readonly pss: boolean;
}

/** What we verify (RFC 5246 §7.4.1.4.1, RFC 8446 §4.2.3), the preferred first. SHA-1 is not among them. */
const SCHEMES: readonly Scheme[] = [
  { id: 0x0403, hash: "sha256", key: "ec", pss: false },
  { id: 0x0503, hash: "sha384", key: "ec", pss: false },
  { id: 0x0804, hash: "sha256", key: "rsa", pss: true },
  { id: 0x0401, hash: "sha256", key: "rsa", pss: false },
  { id: 0x0501, hash: "sha384", key: "rsa", pss: false },
  { id: 0x0601, hash: "sha512", key: "rsa", pss: false },
];

export const SIGNATURE_SCHEMES: readonly number[] = SCHEMES.map((scheme) => scheme.id);

/** Ours is an ECDSA P-256 key. */
export const OUR_SCHEME = 0x0403;

export function signOurs(key: KeyObject, bytes: Buffer): Buffer {
  return sign("sha256", bytes, key);
}

/** The key of a certificate in DER; refuses what is no certificate, or has a key that we cannot use. */
export function publicKeyOf(certificate: Buffer): KeyObject {
  try {
    return new X509Certificate(certificate).publicKey;
  } catch (error) {
    throw new DtlsRefusal(ALERT.badCertificate, `certificate of the far end: ${String(error)}`);
  }
}

/** Refuses unless `signature` over `bytes` was made with the certificate's key. */
export function requireSignature(key: KeyObject, schemeId: number, bytes: Buffer, signature: Buffer): void {
  const scheme = SCHEMES.find((each) => each.id === schemeId);
  if (scheme === undefined || key.asymmetricKeyType !== scheme.key) {
    throw new DtlsRefusal(ALERT.illegalParameter, `signature scheme 0x${schemeId.toString(16)} was not offered`);
  }
  if (!fits(scheme, key, bytes, signature)) {
    throw new DtlsRefusal(ALERT.decryptError, "the signature does not fit the certificate", "forged_signature");
  }
}

function fits(scheme: Scheme, key: KeyObject, bytes: Buffer, signature: Buffer): boolean {
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
  try {
    return verify(scheme.hash, bytes, scheme.pss ? { key, ...pss } : key, signature);
  } catch {
    // A signature that is not even DER.
    return false;
  }
}
