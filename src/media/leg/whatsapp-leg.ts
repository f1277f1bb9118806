import { Reception } from "#core/rtp/reception.ts";
import type { WhatsAppOffer } from "#core/sdp/session.ts";
import type { DtlsSetup } from "#core/sdp/transport.ts";
import type { MediaFailure } from "#engine/ports.ts";
import { currentPacket } from "#media/stage/frame.ts";
import { Waiting } from "#media/stage/intake.ts";
import { RtpOut } from "#media/stage/rtp-out.ts";
import type { Sink } from "#media/stage/sink.ts";
import type { DtlsRole, FailureReason, SecureSession, SecureSessionEvents } from "#media/transport/contract.ts";
import { RtcpSession } from "./rtcp-session.ts";

export interface WhatsAppLegOptions {
  /** Opens the secure session that this leg lives on. */
  readonly open: (events: SecureSessionEvents) => SecureSession;
  readonly ssrc: number;
  readonly sequence: number;
  readonly timestamp: number;
  readonly cname: string;
  readonly random: () => number;
  readonly now: () => number;
  /** A bug in what comes after `sink`. */
  readonly onBug: (error: unknown) => void;
  readonly onIceConnected: () => void;
  readonly onConnected: () => void;
  readonly onFailed: (failure: MediaFailure, detail: string) => void;
}

/** What the end of a secure session means for the call. */
const failureOf: Readonly<Record<FailureReason, MediaFailure>> = {
  ice_timeout: "ice_failed",
  dtls_timeout: "dtls_failed",
  dtls_refused: "dtls_failed",
  fingerprint_mismatch: "dtls_failed",
  consent_expired: "media_dead",
  closed_by_peer: "media_closed",
  bug: "media_dead",
};

/** WhatsApp's side of a call: one SSRC over ICE, DTLS and SRTP. Not a packet leaves before `start()`. */
export class WhatsAppLeg {
  readonly session: SecureSession;
  readonly reception = new Reception();
  readonly out: RtpOut;
  readonly rtcp: RtcpSession;
  malformed = 0;
  /** Where packets of WhatsApp go. */
  sink: Sink = new Waiting(this.reception);
  readonly #options: WhatsAppLegOptions;
  readonly #now: () => number;
  #connected = false;
  #started = false;

  constructor(options: WhatsAppLegOptions) {
    this.#options = options;
    this.#now = options.now;
    const { ssrc, sequence, timestamp, cname, random } = options;
    this.session = options.open({
      onIceConnected: () => options.onIceConnected(),
      onConnected: () => this.#onConnected(),
      onRtp: (packet) => this.#receive(packet),
      onRtcp: (packet) => this.rtcp.take(packet, options.now()),
      onFailed: (reason, detail) => options.onFailed(failureOf[reason], `${reason}: ${detail}`),
    });
    this.out = new RtpOut({ ssrc, sequence, timestamp, to: this.session });
    this.rtcp = new RtcpSession({
      out: this.out,
      reception: this.reception,
      cname,
      random,
      transmit: (packet) => this.session.sendRtcp(packet),
    });
  }

  connect(offer: WhatsAppOffer): void {
    this.session.connect(offer.transport, dtlsRoleFor(offer.transport.setup));
  }

  /** Meta accepted. Without keys yet, the stream opens when they are there. */
  start(): void {
    this.#started = true;
    this.#openStream();
  }

  #onConnected(): void {
    this.#connected = true;
    this.#options.onConnected();
    this.#openStream();
  }

  #openStream(): void {
    if (!this.#started || !this.#connected) return;
    this.out.setOpen(true);
    this.rtcp.start(this.#options.now());
  }

  #receive(packet: Buffer): void {
    if (!currentPacket.read(packet, this.#now())) {
      this.malformed += 1;
      return;
    }
    try {
      this.sink.take(currentPacket);
    } catch (error) {
      this.#options.onBug(error);
    }
  }
}

/** RFC 5763 §5: we answer `active` unless the far end insists on being it. */
function dtlsRoleFor(setup: DtlsSetup): DtlsRole {
  return setup === "active" ? "server" : "client";
}
