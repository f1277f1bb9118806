import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import type { Fingerprint } from "#core/sdp/transport.ts";

/** What an end proves its identity with: the fingerprint goes into the SDP, the rest into the handshake. */
export interface DtlsCertificate {
  readonly der: Buffer;
  readonly privateKey: KeyObject;
  readonly fingerprint: Fingerprint;
}

const DAY_MS = 86_400_000;
/** A process that runs longer than this without a restart makes a new one anyway; nobody checks dates in DTLS-SRTP (RFC 8827 §6.5). */
const VALID_MS = 365 * DAY_MS;

/**
 * A self-signed ECDSA P-256 certificate, made by hand: node has no call for it. One per process, as ECDSA costs 0.04 ms and RSA
 * 186 ms. `now` in ms since 1970.
 */
export function makeCertificate(now: number): DtlsCertificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const algorithm = sequence(OID_ECDSA_SHA256);
  const name = sequence(set(sequence(OID_COMMON_NAME, der(0x0c, Buffer.from("ponte")))));
  const body = sequence(
    // [0] version 3; serial number positive, so its first bit is cleared.
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, serialNumber()),
    algorithm,
    name,
    sequence(utcTime(now - DAY_MS), utcTime(now + VALID_MS)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
  );
  const signature = sign("sha256", body, privateKey);
  const certificate = sequence(body, algorithm, der(0x03, Buffer.from([0]), signature));
  return { der: certificate, privateKey, fingerprint: fingerprintOf(certificate, "sha-256") };
}

const HASHES: Readonly<Record<string, string>> = { "sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512" };

function fingerprintOf(certificate: Buffer, algorithm: string): Fingerprint {
  const hex = createHash(HASHES[algorithm] ?? "sha256")
    .update(certificate)
    .digest("hex")
    .toUpperCase();
  return { algorithm, value: hex.replace(/..(?=.)/g, "$&:") };
}

/** Whether the certificate is the one that the SDP promised (RFC 8122 §6.2). Hashes weaker than SHA-256 never fit. */
export function fitsFingerprint(certificate: Buffer, promised: Fingerprint): boolean {
  const algorithm = promised.algorithm.toLowerCase();
  if (HASHES[algorithm] === undefined) return false;
  return fingerprintOf(certificate, algorithm).value === promised.value.toUpperCase();
}

// ── DER (X.690) ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** 1.2.840.10045.4.3.2, ecdsa-with-SHA256. */
const OID_ECDSA_SHA256 = Buffer.from("06082a8648ce3d040302", "hex");
/** 2.5.4.3. */
const OID_COMMON_NAME = Buffer.from("0603550403", "hex");

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const length = content.length;
  let head = Buffer.from([tag, length]);
  if (length >= 256) head = Buffer.from([tag, 0x82, length >> 8, length & 255]);
  else if (length >= 128) head = Buffer.from([tag, 0x81, length]);
  return Buffer.concat([head, content]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(0x30, ...parts);
}

function set(...parts: readonly Buffer[]): Buffer {
  return der(0x31, ...parts);
}

function serialNumber(): Buffer {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  return serial;
}

/** YYMMDDHHMMSSZ, good until 2049. */
function utcTime(at: number): Buffer {
  const digits = new Date(at).toISOString().replace(/[-:T]/g, "");
  return der(0x17, Buffer.from(`${digits.slice(2, 14)}Z`));
}
