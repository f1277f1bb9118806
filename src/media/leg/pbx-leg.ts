import type { RemoteInfo } from "node:dgram";
import { looksLikeRtcp } from "#core/rtp/packet.ts";
import { Reception } from "#core/rtp/reception.ts";
import type { SipMedia } from "#core/sdp/session.ts";
import type { Latching } from "#engine/ports.ts";
import { currentPacket } from "#media/stage/frame.ts";
import { Waiting } from "#media/stage/intake.ts";
import { RtpOut } from "#media/stage/rtp-out.ts";
import type { Sink } from "#media/stage/sink.ts";
import { isSuspectAddress, Latch } from "./latch.ts";
import { RtcpSession } from "./rtcp-session.ts";
import type { SipSockets } from "./sip-sockets.ts";

export interface PbxLegOptions {
  readonly sockets: SipSockets;
  readonly latching: Latching;
  /** What the PBX is told to send to. */
  readonly ourAddress: string;
  readonly ssrc: number;
  readonly sequence: number;
  readonly timestamp: number;
  readonly cname: string;
  readonly random: () => number;
  readonly now: () => number;
  /** A bug in what comes after `sink`. */
  readonly onBug: (error: unknown) => void;
}

/** The PBX's side of a call: plain RTP on a port of its own, symmetric, with hold. */
export class PbxLeg {
  readonly reception = new Reception();
  readonly out: RtpOut;
  readonly rtcp: RtcpSession;
  readonly refused = { malformed: 0, early: 0, held: 0 };
  /** Where packets of the PBX go. */
  sink: Sink = new Waiting(this.reception);
  readonly #options: PbxLegOptions;
  readonly #sockets: SipSockets;
  readonly #now: () => number;
  readonly #latch: Latch;
  #session: SipMedia | undefined;
  #started = false;
  #hears = false;

  constructor(options: PbxLegOptions) {
    this.#options = options;
    this.#latch = new Latch(options.latching);
    const { sockets, ssrc, sequence, timestamp, cname, random } = options;
    this.#sockets = sockets;
    this.#now = options.now;
    this.out = new RtpOut({ ssrc, sequence, timestamp, to: sockets });
    this.rtcp = new RtcpSession({
      out: this.out,
      reception: this.reception,
      cname,
      random,
      transmit: (packet) => sockets.sendRtcp(packet),
    });
    sockets.receive(
      (packet, from) => this.#receiveRtp(packet, from),
      (packet, from) => this.#receiveRtcp(packet, from),
    );
  }

  get session(): SipMedia | undefined {
    return this.#session;
  }

  get strangers(): number {
    return this.#latch.strangers;
  }

  get addressSuspect(): boolean {
    return this.#session !== undefined && isSuspectAddress(this.#session.address, this.#options.ourAddress);
  }

  setSession(session: SipMedia, latching: Latching | undefined, at: number): void {
    this.#session = session;
    if (latching !== undefined) this.#latch.setMode(latching);
    if (session.port !== 0) this.#latch.announce(session.address, session.port, at);
    this.#aim();
    this.#direct();
  }

  /** From now on audio goes to the PBX, as far as it wants any. */
  start(at: number): void {
    this.#started = true;
    this.rtcp.start(at);
    this.#direct();
  }

  /** RFC 3264 §5.1: `sendonly` and `inactive` are the PBX's hold, it wants no audio; with `recvonly` it sends none. */
  #direct(): void {
    const session = this.#session;
    if (session === undefined) return;
    const { direction, port } = session;
    this.#hears = port !== 0 && (direction === "sendrecv" || direction === "sendonly");
    this.out.setOpen(this.#started && port !== 0 && (direction === "sendrecv" || direction === "recvonly"));
  }

  #receiveRtp(packet: Buffer, from: RemoteInfo): void {
    const session = this.#session;
    if (session === undefined) {
      this.refused.early += 1;
      return;
    }
    if (packet.length >= 8 && looksLikeRtcp(packet)) {
      this.#receiveRtcp(packet, from);
      return;
    }
    const view = currentPacket;
    const at = this.#now();
    if (!view.read(packet, at)) {
      this.refused.malformed += 1;
      return;
    }
    if (!this.#latch.isSource(from.address, from.port) && !this.#isAdmitted(view.payloadType, from, at)) return;
    if (!this.#hears) {
      this.refused.held += 1;
      return;
    }
    try {
      this.sink.take(view);
    } catch (error) {
      this.#options.onBug(error);
    }
  }

  /** Only a packet of an agreed format makes somebody the PBX. */
  #isAdmitted(payloadType: number, from: RemoteInfo, at: number): boolean {
    const session = this.#session;
    if (payloadType === session?.audio.payloadType || payloadType === session?.digits?.payloadType) {
      const admitted = this.#latch.admit(from.address, from.port, at);
      if (admitted) this.#aim();
      return admitted;
    }
    this.#latch.strangers += 1;
    return false;
  }

  #receiveRtcp(packet: Buffer, from: RemoteInfo): void {
    // A report is believed when it comes from the host that the audio comes from, or should come from.
    if (this.#latch.target?.address === from.address) this.rtcp.take(packet, this.#now());
    else this.#latch.strangers += 1;
  }

  /** Our packets go where the PBX's come from. */
  #aim(): void {
    const session = this.#session;
    const target = this.#latch.target;
    if (session === undefined || target === undefined) {
      this.#sockets.aim("", 0, 0);
      return;
    }
    // Behind NAT the announced RTCP port means nothing: the next one is the best guess (RFC 3550 §11).
    const rtcpPort = target.port === session.port ? session.rtcpPort : target.port + 1;
    this.#sockets.aim(target.address, target.port, rtcpPort < 65_536 ? rtcpPort : 0);
  }
}
