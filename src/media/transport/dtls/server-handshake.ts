import type { KeyObject } from "node:crypto";
import { type Handshake, type HandshakeHost, HandshakeState, unexpected } from "./handshake.ts";
import { type KeyShare, makeKeyShare } from "./key-exchange.ts";
import { masterSecret } from "./key-schedule.ts";
import {
  type ClientHello,
  certificateMessage,
  certificateRequest,
  keyParameters,
  readCertificate,
  readClientHello,
  readSigned,
  serverHello,
  signed,
} from "./messages.ts";
import type { HandshakeMessage } from "./reassembly.ts";
import { OUR_SCHEME, publicKeyOf, requireSignature, signOurs } from "./signature.ts";
import { ALERT, DtlsRefusal, HANDSHAKE, Reader } from "./wire.ts";

type Expected = "client_hello" | "certificate" | "client_key_exchange" | "certificate_verify" | "finished" | "nothing";

/**
 * The server's side; see ClientHandshake for the picture. There is no HelloVerifyRequest: ICE has validated the client's
 * address before its first datagram is looked at. A certificate is always asked for, as the SDP promised one.
 */
export class ServerHandshake implements Handshake {
  readonly #host: HandshakeHost;
  readonly #state: HandshakeState;
  readonly #random: Buffer;
  #expected: Expected = "client_hello";
  #hello: ClientHello | undefined;
  #share: KeyShare | undefined;
  #clientKey: KeyObject | undefined;

  constructor(host: HandshakeHost) {
    this.#host = host;
    this.#state = new HandshakeState("server", host);
    this.#random = host.random(32);
  }

  /** Waits for the client. */
  start(): void {
    this.#expected = "client_hello";
  }

  take(message: HandshakeMessage): void {
    switch (this.#expected) {
      case "client_hello":
        this.#require(message, HANDSHAKE.clientHello);
        this.#answer(readClientHello(message.body));
        this.#expected = "certificate";
        return;
      case "certificate":
        this.#require(message, HANDSHAKE.certificate);
        this.#takeCertificate(message);
        this.#expected = "client_key_exchange";
        return;
      case "client_key_exchange":
        this.#require(message, HANDSHAKE.clientKeyExchange);
        this.#takeKeyExchange(message);
        this.#expected = "certificate_verify";
        return;
      case "certificate_verify":
        this.#takeCertificateVerify(message);
        this.#expected = "finished";
        return;
      case "finished":
        this.#takeFinished(message);
        this.#expected = "nothing";
        return;
      default:
        throw unexpected(message);
    }
  }

  #require(message: HandshakeMessage, type: number): void {
    if (message.type !== type) throw unexpected(message);
    this.#state.record(message);
  }

  #answer(hello: ClientHello): void {
    if (hello.group === undefined) throw new DtlsRefusal(ALERT.handshakeFailure, "no common group");
    this.#hello = hello;
    const { certificate } = this.#host;
    const state = this.#state;
    const share = makeKeyShare(hello.group);
    this.#share = share;
    const parameters = keyParameters(share.group, share.publicKey);
    const covered = Buffer.concat([hello.random, this.#random, parameters]);
    const keyExchange = Buffer.concat([parameters, signed(OUR_SCHEME, signOurs(certificate.privateKey, covered))]);
    const flight = [
      state.write(HANDSHAKE.serverHello, serverHello(this.#random, hello.extendedMasterSecret)),
      state.write(HANDSHAKE.certificate, certificateMessage(certificate.der)),
      state.write(HANDSHAKE.serverKeyExchange, keyExchange),
      state.write(HANDSHAKE.certificateRequest, certificateRequest()),
      state.write(HANDSHAKE.serverHelloDone, Buffer.alloc(0)),
    ];
    this.#host.sendFlight(flight, true);
  }

  #takeCertificate(message: HandshakeMessage): void {
    const certificate = readCertificate(message.body);
    this.#state.requireFingerprint(certificate);
    this.#clientKey = publicKeyOf(certificate);
  }

  #takeKeyExchange(message: HandshakeMessage): void {
    const [hello, share] = [this.#hello, this.#share];
    if (hello === undefined || share === undefined) throw unexpected(message);
    const preMaster = share.derive(new Reader(message.body).vector(1));
    const randoms = { client: hello.random, server: this.#random };
    const secret = masterSecret(preMaster, hello.extendedMasterSecret, this.#state.transcript(), randoms);
    this.#state.useMaster(secret, randoms);
  }

  /** The client signs the whole handshake up to here (RFC 5246 §7.4.8). */
  #takeCertificateVerify(message: HandshakeMessage): void {
    if (message.type !== HANDSHAKE.certificateVerify || this.#clientKey === undefined) throw unexpected(message);
    const { scheme, signature } = readSigned(new Reader(message.body));
    requireSignature(this.#clientKey, scheme, this.#state.transcript(), signature);
    this.#state.record(message);
  }

  #takeFinished(message: HandshakeMessage): void {
    if (message.type !== HANDSHAKE.finished) throw unexpected(message);
    this.#state.requireFinished(message);
    this.#state.record(message);
    this.#host.sendFlight(this.#state.finish(), false);
    this.#host.onFinished(this.#state.masters());
  }
}
