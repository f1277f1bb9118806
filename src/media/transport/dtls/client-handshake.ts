import type { KeyObject } from "node:crypto";
import { type Handshake, type HandshakeHost, HandshakeState, unexpected } from "./handshake.ts";
import { makeKeyShare } from "./key-exchange.ts";
import { masterSecret } from "./key-schedule.ts";
import {
  certificateMessage,
  clientHello,
  keyParameters,
  readCertificate,
  readCookie,
  readServerHello,
  readServerKeyExchange,
  type ServerHello,
  type ServerKeyExchange,
  signed,
} from "./messages.ts";
import type { HandshakeMessage } from "./reassembly.ts";
import { OUR_SCHEME, publicKeyOf, requireSignature, signOurs } from "./signature.ts";
import { ALERT, DtlsRefusal, HANDSHAKE, SUITE_ECDHE_ECDSA, vector } from "./wire.ts";

/** Which message may come next. */
type Expected = "server_hello" | "certificate" | "server_key_exchange" | "hello_done" | "finished" | "nothing";

/**
 * The client's side:
 *
 *     ClientHello ──▶ (◀── HelloVerifyRequest, ClientHello with its cookie ──▶)
 *     ◀── ServerHello, Certificate, ServerKeyExchange, CertificateRequest, ServerHelloDone
 *     Certificate, ClientKeyExchange, CertificateVerify, [ChangeCipherSpec], Finished ──▶
 *     ◀── [ChangeCipherSpec], Finished
 */
export class ClientHandshake implements Handshake {
  readonly #host: HandshakeHost;
  readonly #state: HandshakeState;
  readonly #random: Buffer;
  #expected: Expected = "server_hello";
  #hadCookie = false;
  #serverHello: ServerHello | undefined;
  #serverKey: KeyObject | undefined;
  #keyExchange: ServerKeyExchange | undefined;
  #certificateWanted = false;

  constructor(host: HandshakeHost) {
    this.#host = host;
    this.#state = new HandshakeState("client", host);
    this.#random = host.random(32);
  }

  start(): void {
    this.#sendHello(Buffer.alloc(0));
  }

  #sendHello(cookie: Buffer): void {
    this.#state.forgetTranscript();
    this.#host.sendFlight([this.#state.write(HANDSHAKE.clientHello, clientHello(this.#random, cookie))], true);
  }

  take(message: HandshakeMessage): void {
    switch (this.#expected) {
      case "server_hello":
        if (message.type === HANDSHAKE.helloVerifyRequest && !this.#hadCookie) {
          this.#hadCookie = true;
          this.#sendHello(readCookie(message.body));
          return;
        }
        this.#require(message, HANDSHAKE.serverHello);
        this.#serverHello = readServerHello(message.body);
        this.#expected = "certificate";
        return;
      case "certificate":
        this.#require(message, HANDSHAKE.certificate);
        this.#takeCertificate(message);
        this.#expected = "server_key_exchange";
        return;
      case "server_key_exchange":
        this.#require(message, HANDSHAKE.serverKeyExchange);
        this.#takeKeyExchange(message);
        this.#expected = "hello_done";
        return;
      case "hello_done":
        if (message.type === HANDSHAKE.certificateRequest && !this.#certificateWanted) {
          this.#state.record(message);
          this.#certificateWanted = true;
          return;
        }
        this.#require(message, HANDSHAKE.serverHelloDone);
        this.#answer();
        this.#expected = "finished";
        return;
      case "finished":
        if (message.type !== HANDSHAKE.finished) throw unexpected(message);
        this.#state.requireFinished(message);
        this.#expected = "nothing";
        this.#host.onFinished(this.#state.masters());
        return;
      default:
        throw unexpected(message);
    }
  }

  #require(message: HandshakeMessage, type: number): void {
    if (message.type !== type) throw unexpected(message);
    this.#state.record(message);
  }

  #takeCertificate(message: HandshakeMessage): void {
    const certificate = readCertificate(message.body);
    this.#state.requireFingerprint(certificate);
    const key = publicKeyOf(certificate);
    const wanted = this.#serverHello?.suite === SUITE_ECDHE_ECDSA ? "ec" : "rsa";
    if (key.asymmetricKeyType !== wanted) {
      throw new DtlsRefusal(ALERT.badCertificate, `the suite needs a key of type ${wanted}`);
    }
    this.#serverKey = key;
  }

  /** Who holds the certificate's key signs both randoms and the key share (RFC 8422 §5.4). */
  #takeKeyExchange(message: HandshakeMessage): void {
    const exchange = readServerKeyExchange(message.body);
    if (this.#serverHello === undefined || this.#serverKey === undefined) throw unexpected(message);
    const parameters = keyParameters(exchange.group, exchange.publicKey);
    const covered = Buffer.concat([this.#random, this.#serverHello.random, parameters]);
    requireSignature(this.#serverKey, exchange.scheme, covered, exchange.signature);
    this.#keyExchange = exchange;
  }

  #answer(): void {
    const [hello, exchange] = [this.#serverHello, this.#keyExchange];
    if (hello === undefined || exchange === undefined) {
      throw new DtlsRefusal(ALERT.unexpectedMessage, "the server's flight is not whole");
    }
    const { certificate } = this.#host;
    const state = this.#state;
    const share = makeKeyShare(exchange.group);
    const preMaster = share.derive(exchange.publicKey);
    const flight = this.#certificateWanted
      ? [state.write(HANDSHAKE.certificate, certificateMessage(certificate.der))]
      : [];
    flight.push(state.write(HANDSHAKE.clientKeyExchange, vector(1, share.publicKey)));
    const randoms = { client: this.#random, server: hello.random };
    const secret = masterSecret(preMaster, hello.extendedMasterSecret, state.transcript(), randoms);
    if (this.#certificateWanted) {
      const signature = signOurs(certificate.privateKey, state.transcript());
      flight.push(state.write(HANDSHAKE.certificateVerify, signed(OUR_SCHEME, signature)));
    }
    state.useMaster(secret, randoms);
    this.#host.sendFlight([...flight, ...state.finish()], true);
  }
}
