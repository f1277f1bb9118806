import { createCipheriv, createDecipheriv } from "node:crypto";
import { ReplayWindow } from "#media/transport/srtp/replay-window.ts";
import type { WriteKeys } from "./key-schedule.ts";
import { DTLS_1_2 } from "./wire.ts";

/**
 * Records (RFC 6347 §4.1). Epoch 0 is in the clear, epoch 1 is AES-128-GCM (RFC 5288); there are no others, because we never
 * renegotiate.
 *
 *     | type 1 | version 2 | epoch 2 | sequence 6 | length 2 | fragment |      epoch 1: fragment = nonce 8 | ciphertext | tag 16
 */
const HEADER_BYTES = 13;
const NONCE_BYTES = 8;
const GCM_TAG_BYTES = 16;

/** A datagram of a handshake has at most about six records. */
const MAX_RECORDS_PER_DATAGRAM = 16;

export interface DtlsRecord {
  readonly type: number;
  readonly epoch: number;
  readonly sequence: number;
  readonly fragment: Buffer;
}

/** The records of a datagram; what cannot be one ends the list. */
export function readRecords(datagram: Buffer): DtlsRecord[] {
  const records: DtlsRecord[] = [];
  let at = 0;
  while (at + HEADER_BYTES <= datagram.length && records.length < MAX_RECORDS_PER_DATAGRAM) {
    // The first ClientHello and HelloVerifyRequest may carry DTLS 1.0 (RFC 6347 §4.2.1).
    const major = datagram.readUInt8(at + 1);
    const length = datagram.readUInt16BE(at + 11);
    const end = at + HEADER_BYTES + length;
    if (major !== 0xfe || end > datagram.length) break;
    records.push({
      type: datagram.readUInt8(at),
      epoch: datagram.readUInt16BE(at + 3),
      sequence: datagram.readUIntBE(at + 5, 6),
      fragment: datagram.subarray(at + HEADER_BYTES, end),
    });
    at = end;
  }
  return records;
}

/** Writes and opens records of one association. */
export class RecordLayer {
  /** Next sequence number per epoch: never used twice, as it is the nonce. */
  readonly #next = [0, 0];
  readonly #seen = new ReplayWindow();
  #write: WriteKeys | undefined;
  #read: WriteKeys | undefined;

  get ready(): boolean {
    return this.#read !== undefined;
  }

  setKeys(write: WriteKeys, read: WriteKeys): void {
    this.#write = write;
    this.#read = read;
  }

  seal(type: number, epoch: 0 | 1, plain: Buffer): Buffer {
    const sequence = this.#next[epoch] ?? 0;
    this.#next[epoch] = sequence + 1;
    const fragment = epoch === 1 ? this.#encrypt(type, sequence, plain) : plain;
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt8(type, 0);
    header.writeUInt16BE(DTLS_1_2, 1);
    header.writeUInt16BE(epoch, 3);
    header.writeUIntBE(sequence, 5, 6);
    header.writeUInt16BE(fragment.length, 11);
    return Buffer.concat([header, fragment]);
  }

  /** The plaintext of a record of epoch 1; undefined when it is forged, replayed or too short. */
  open(record: DtlsRecord): Buffer | undefined {
    const keys = this.#read;
    const { fragment } = record;
    if (keys === undefined || fragment.length < NONCE_BYTES + GCM_TAG_BYTES || !this.#seen.isNew(record.sequence)) {
      return undefined;
    }
    const iv = Buffer.concat([keys.salt, fragment.subarray(0, NONCE_BYTES)]);
    const decipher = createDecipheriv("aes-128-gcm", keys.key, iv, { authTagLength: GCM_TAG_BYTES });
    const sealed = fragment.subarray(NONCE_BYTES, fragment.length - GCM_TAG_BYTES);
    decipher.setAAD(additionalData(record.type, record.sequence, sealed.length));
    decipher.setAuthTag(fragment.subarray(fragment.length - GCM_TAG_BYTES));
    try {
      const plain = Buffer.concat([decipher.update(sealed), decipher.final()]);
      this.#seen.add(record.sequence);
      return plain;
    } catch {
      // The tag does not fit: not from who has the keys.
      return undefined;
    }
  }

  #encrypt(type: number, sequence: number, plain: Buffer): Buffer {
    const keys = this.#write;
    if (keys === undefined) throw new Error("no keys to encrypt a record with");
    const nonce = epochAndSequence(sequence);
    const cipher = createCipheriv("aes-128-gcm", keys.key, Buffer.concat([keys.salt, nonce]));
    cipher.setAAD(additionalData(type, sequence, plain.length));
    return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }
}

function epochAndSequence(sequence: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16BE(1, 0);
  bytes.writeUIntBE(sequence, 2, 6);
  return bytes;
}

/** RFC 5246 §6.2.3.3. */
function additionalData(type: number, sequence: number, plainBytes: number): Buffer {
  const bytes = Buffer.alloc(13);
  epochAndSequence(sequence).copy(bytes);
  bytes.writeUInt8(type, 8);
  bytes.writeUInt16BE(DTLS_1_2, 9);
  bytes.writeUInt16BE(plainBytes, 11);
  return bytes;
}
