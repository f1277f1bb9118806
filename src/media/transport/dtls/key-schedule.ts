import { createHash, createHmac } from "node:crypto";
import type { DtlsRole } from "#media/transport/contract.ts";
import { MASTER_KEY_BYTES, MASTER_SALT_BYTES, type SrtpMaster } from "#media/transport/srtp/keys.ts";

/** The two 32-byte randoms of a handshake. */
export interface Randoms {
  readonly client: Buffer;
  readonly server: Buffer;
}

/** RFC 5246 §5: P_SHA256(secret, label + seed). */
export function prf(secret: Buffer, label: string, seed: Buffer, bytes: number): Buffer {
  const labelled = Buffer.concat([Buffer.from(label, "ascii"), seed]);
  const blocks: Buffer[] = [];
  let a = labelled;
  for (let have = 0; have < bytes; have += 32) {
    a = createHmac("sha256", secret).update(a).digest();
    blocks.push(createHmac("sha256", secret).update(a).update(labelled).digest());
  }
  return Buffer.concat(blocks).subarray(0, bytes);
}

/** With the extended master secret (RFC 7627 §4) when both ends can, over the messages up to ClientKeyExchange. */
export function masterSecret(preMaster: Buffer, extended: boolean, transcript: Buffer, randoms: Randoms): Buffer {
  return extended
    ? prf(preMaster, "extended master secret", sha256(transcript), 48)
    : prf(preMaster, "master secret", Buffer.concat([randoms.client, randoms.server]), 48);
}

export function sha256(bytes: Buffer): Buffer {
  return createHash("sha256").update(bytes).digest();
}

/** Key and implicit nonce of one direction of AES-128-GCM (RFC 5288 §3). */
export interface WriteKeys {
  readonly key: Buffer;
  readonly salt: Buffer;
}

/** RFC 5246 §6.3. */
export function keyBlock(master: Buffer, randoms: Randoms): { readonly client: WriteKeys; readonly server: WriteKeys } {
  const block = prf(master, "key expansion", Buffer.concat([randoms.server, randoms.client]), 40);
  return {
    client: { key: block.subarray(0, 16), salt: block.subarray(32, 36) },
    server: { key: block.subarray(16, 32), salt: block.subarray(36, 40) },
  };
}

/** RFC 5246 §7.4.9. */
export function verifyData(master: Buffer, sender: DtlsRole, transcript: Buffer): Buffer {
  return prf(master, `${sender} finished`, sha256(transcript), 12);
}

/** Master keys of both directions. */
export interface SrtpMasters {
  readonly local: SrtpMaster;
  readonly remote: SrtpMaster;
}

/** RFC 5764 §4.2: client key, server key, client salt, server salt, exported by RFC 5705. */
export function srtpMasters(master: Buffer, randoms: Randoms, role: DtlsRole): SrtpMasters {
  const bytes = 2 * (MASTER_KEY_BYTES + MASTER_SALT_BYTES);
  const material = prf(master, "EXTRACTOR-dtls_srtp", Buffer.concat([randoms.client, randoms.server]), bytes);
  const client = { key: material.subarray(0, 16), salt: material.subarray(32, 46) };
  const server = { key: material.subarray(16, 32), salt: material.subarray(46, 60) };
  return role === "client" ? { local: client, remote: server } : { local: server, remote: client };
}
