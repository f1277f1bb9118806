import { timingSafeEqual } from "node:crypto";
import type { Fingerprint } from "#core/sdp/transport.ts";
import type { DtlsRole } from "#media/transport/contract.ts";
import { type DtlsCertificate, fitsFingerprint } from "./certificate.ts";
import { keyBlock, type Randoms, type SrtpMasters, srtpMasters, verifyData, type WriteKeys } from "./key-schedule.ts";
import { type HandshakeMessage, wholeMessage } from "./reassembly.ts";
import { ALERT, CONTENT, DtlsRefusal, HANDSHAKE } from "./wire.ts";

/** One part of a flight: a handshake message, or the one byte of ChangeCipherSpec. */
export interface FlightPart {
  readonly epoch: 0 | 1;
  readonly message: HandshakeMessage | undefined;
}

/** What a handshake needs of its endpoint. */
export interface HandshakeHost {
  readonly certificate: DtlsCertificate;
  readonly remoteFingerprint: Fingerprint;
  random(bytes: number): Buffer;
  /** Sends a flight; repeats it until the next message comes when `repeat` is set. */
  sendFlight(flight: readonly FlightPart[], repeat: boolean): void;
  setKeys(write: WriteKeys, read: WriteKeys): void;
  onFinished(masters: SrtpMasters): void;
}

/** One side of the DTLS 1.2 handshake (RFC 6347 §4.2.4). `take` throws DtlsRefusal for what must end it. */
export interface Handshake {
  start(): void;
  take(message: HandshakeMessage): void;
}

/** What both sides share: numbering, the transcript, the keys, and the two proofs. */
export class HandshakeState {
  readonly role: DtlsRole;
  readonly #host: HandshakeHost;
  #transcript: Buffer[] = [];
  #nextSeq = 0;
  #master: { readonly secret: Buffer; readonly randoms: Randoms } | undefined;

  constructor(role: DtlsRole, host: HandshakeHost) {
    this.role = role;
    this.#host = host;
  }

  /** A message of ours, which counts for the transcript. */
  write(type: number, body: Buffer, epoch: 0 | 1 = 0): FlightPart {
    const message = { type, seq: this.#nextSeq, body };
    this.#nextSeq += 1;
    this.#transcript.push(wholeMessage(message));
    return { epoch, message };
  }

  /** A message of theirs. */
  record(message: HandshakeMessage): void {
    this.#transcript.push(wholeMessage(message));
  }

  /** RFC 6347 §4.2.1: the first ClientHello and HelloVerifyRequest do not count. */
  forgetTranscript(): void {
    this.#transcript = [];
  }

  transcript(): Buffer {
    return Buffer.concat(this.#transcript);
  }

  requireFingerprint(certificate: Buffer): void {
    if (fitsFingerprint(certificate, this.#host.remoteFingerprint)) return;
    throw new DtlsRefusal(ALERT.badCertificate, "the certificate is not the one in the SDP", "wrong_fingerprint");
  }

  useMaster(secret: Buffer, randoms: Randoms): void {
    this.#master = { secret, randoms };
    const keys = keyBlock(secret, randoms);
    const other = this.role === "client" ? "server" : "client";
    this.#host.setKeys(keys[this.role], keys[other]);
  }

  /** ChangeCipherSpec and our Finished. */
  finish(): FlightPart[] {
    const { secret } = this.#requireMaster();
    const changeCipherSpec = { epoch: 0 as const, message: undefined };
    return [changeCipherSpec, this.write(HANDSHAKE.finished, verifyData(secret, this.role, this.transcript()), 1)];
  }

  /** Their proof that they saw the same handshake (RFC 5246 §7.4.9). */
  requireFinished(message: HandshakeMessage): void {
    const { secret } = this.#requireMaster();
    const expected = verifyData(secret, this.role === "client" ? "server" : "client", this.transcript());
    if (message.body.length !== expected.length || !timingSafeEqual(message.body, expected)) {
      throw new DtlsRefusal(ALERT.decryptError, "Finished does not fit the handshake", "forged_finished");
    }
  }

  masters(): SrtpMasters {
    const { secret, randoms } = this.#requireMaster();
    return srtpMasters(secret, randoms, this.role);
  }

  #requireMaster(): { readonly secret: Buffer; readonly randoms: Randoms } {
    if (this.#master === undefined) throw new DtlsRefusal(ALERT.unexpectedMessage, "Finished before the keys");
    return this.#master;
  }
}

export function unexpected(message: HandshakeMessage): DtlsRefusal {
  return new DtlsRefusal(ALERT.unexpectedMessage, `handshake message ${message.type} is out of place`);
}

export const CHANGE_CIPHER_SPEC = { type: CONTENT.changeCipherSpec, body: Buffer.from([1]) } as const;
