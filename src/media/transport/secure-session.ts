import type { LocalTransport, RemoteTransport } from "#core/sdp/transport.ts";
import type { Clock } from "#engine/ports.ts";
import type { AddressFamily } from "./address.ts";
import type { DtlsRole, FailureReason, SecureSession, SecureSessionEvents, SessionCounters } from "./contract.ts";
import { newSessionCounters } from "./counters.ts";
import type { PacketKind } from "./demux.ts";
import type { DtlsCertificate } from "./dtls/certificate.ts";
import { DtlsEndpoint } from "./dtls/endpoint.ts";
import type { SrtpMasters } from "./dtls/key-schedule.ts";
import { IceAgent, type IceRole } from "./ice-agent.ts";
import { SRTCP_OVERHEAD_BYTES, SrtcpContext } from "./srtp/srtcp.ts";
import { SRTP_FORGED, SRTP_REPLAYED, SRTP_TOO_MANY_SOURCES, SrtpContext, TAG_BYTES } from "./srtp/srtp.ts";
import type { StunMessage } from "./stun.ts";

/** An Ethernet frame's payload: what is larger would be cut on its way. */
const MAX_PLAINTEXT_BYTES = 1_500;

/** A ClientHello that comes just before our own check is answered; its few fragments. */
const MAX_EARLY_DTLS = 3;

/** What a session needs of the port it was opened on. */
export interface SessionHost {
  readonly clock: Clock;
  readonly certificate: DtlsCertificate;
  readonly iceTimeoutMs: number;
  readonly dtlsTimeoutMs: number;
  random(bytes: number): Buffer;
  reaches(family: AddressFamily): boolean;
  /** The session is about to talk to this far end: the port sees to it that no other uses the same pair of addresses. */
  prepare(remote: RemoteTransport): void;
  send(packet: Buffer, length: number, address: string, port: number): void;
  /** A buffer for one protected packet, which stays untouched until it is sent. */
  slot(): Buffer;
  expectResponse(transactionId: string): void;
  forgetResponse(transactionId: string): void;
  latch(address: string, port: number): void;
  /** The session is over; nothing of it is to be kept but its counters. */
  release(): void;
}

export interface SecureSessionOptions {
  readonly local: LocalTransport;
  readonly iceRole: IceRole;
  readonly events: SecureSessionEvents;
}

interface EarlyDatagram {
  readonly packet: Buffer;
  readonly address: string;
  readonly port: number;
}

interface Keys {
  readonly rtpIn: SrtpContext;
  readonly rtpOut: SrtpContext;
  readonly rtcpIn: SrtcpContext;
  readonly rtcpOut: SrtcpContext;
}

/** ICE, then DTLS, then SRTP, for one far end. Created by PublicPort, which brings it its packets. */
export class PortSession implements SecureSession {
  readonly local: LocalTransport;
  readonly #events: SecureSessionEvents;
  readonly #host: SessionHost;
  readonly #counters = newSessionCounters();
  readonly #ice: IceAgent;
  readonly #earlyDtls: EarlyDatagram[] = [];
  #remote: RemoteTransport | undefined;
  #dtlsRole: DtlsRole = "client";
  #dtls: DtlsEndpoint | undefined;
  #keys: Keys | undefined;
  #address = "";
  #port = 0;
  #over = false;

  constructor(options: SecureSessionOptions, host: SessionHost) {
    this.local = options.local;
    this.#events = options.events;
    this.#host = host;
    const { local, iceRole } = options;
    this.#ice = new IceAgent(
      { mode: local.lite ? "lite" : "full", role: iceRole, local, timeoutMs: host.iceTimeoutMs },
      {
        clock: host.clock,
        counters: this.#counters,
        random: (bytes) => host.random(bytes),
        reaches: (family) => host.reaches(family),
        sendStun: (packet, address, port) => host.send(packet, packet.length, address, port),
        expectResponse: (transactionId) => host.expectResponse(transactionId),
        forgetResponse: (transactionId) => host.forgetResponse(transactionId),
        onValidated: (address, port) => host.latch(address, port),
        onSelected: (address, port) => this.#selected(address, port),
        onFailed: (reason, detail) => this.#fail(reason, detail),
      },
    );
  }

  get remoteAddress(): { readonly address: string; readonly port: number } | undefined {
    return this.#port === 0 ? undefined : { address: this.#address, port: this.#port };
  }

  connect(remote: RemoteTransport, dtls: DtlsRole): void {
    if (this.#over || this.#remote !== undefined) return;
    this.#remote = remote;
    this.#dtlsRole = dtls;
    this.#host.prepare(remote);
    this.#ice.start(remote);
  }

  counters(): SessionCounters {
    return { ...this.#counters };
  }

  close(): void {
    if (this.#over) return;
    this.#dtls?.close();
    this.#end();
  }

  /** A bug ends the session that it happened in, and no other. */
  failByBug(error: unknown): void {
    this.#fail("bug", error instanceof Error ? (error.stack ?? error.message) : String(error));
  }

  // ── packets in ───────────────────────────────────────────────────────────────────────────────────────────────────────

  receiveStun(packet: Buffer, message: StunMessage, address: string, port: number): void {
    if (!this.#over) this.#ice.receive(packet, message, address, port);
  }

  /**
   * Anything but STUN, from an address that ICE validated for this session, but perhaps did not choose. Media may come from
   * any of them (RFC 8445 §12.2), because its keys tell whose it is: a browser that finds a better path sends there before it
   * nominates it, for about 60 ms. A handshake needs the chosen one.
   */
  receive(packet: Buffer, kind: PacketKind, address: string, port: number): void {
    if (kind === "rtp") this.#receiveRtp(packet);
    else if (kind === "rtcp") this.#receiveRtcp(packet);
    else if (port === this.#port && address === this.#address) this.#dtls?.receive(packet);
    else this.#receiveUnchosen(packet, address, port);
  }

  /** The far end may be a step ahead of us: its first handshake packets are worth keeping until a pair is chosen. */
  #receiveUnchosen(packet: Buffer, address: string, port: number): void {
    const keep = this.#dtls === undefined && this.#earlyDtls.length < MAX_EARLY_DTLS;
    if (keep) this.#earlyDtls.push({ packet: Buffer.from(packet), address, port });
    else this.#counters.strangerPackets += 1;
  }

  #receiveRtp(packet: Buffer): void {
    const counters = this.#counters;
    if (this.#keys === undefined) {
      counters.earlyMedia += 1;
      return;
    }
    const bytes = packet.length;
    const length = this.#keys.rtpIn.unprotect(packet);
    if (length < 0) {
      this.#countRefusal(length);
      return;
    }
    counters.rtpIn += 1;
    counters.bytesIn += bytes;
    this.#events.onRtp(packet.subarray(0, length));
  }

  #receiveRtcp(packet: Buffer): void {
    const counters = this.#counters;
    if (this.#keys === undefined) {
      counters.earlyMedia += 1;
      return;
    }
    const bytes = packet.length;
    const length = this.#keys.rtcpIn.unprotect(packet);
    if (length < 0) {
      this.#countRefusal(length);
      return;
    }
    counters.rtcpIn += 1;
    counters.bytesIn += bytes;
    this.#events.onRtcp(packet.subarray(0, length));
  }

  #countRefusal(verdict: number): void {
    if (verdict === SRTP_FORGED) this.#counters.srtpForged += 1;
    else if (verdict === SRTP_REPLAYED) this.#counters.srtpReplayed += 1;
    else if (verdict === SRTP_TOO_MANY_SOURCES) this.#counters.srtpTooManySources += 1;
    else this.#counters.srtpMalformed += 1;
  }

  // ── packets out ──────────────────────────────────────────────────────────────────────────────────────────────────────

  sendRtp(packet: Buffer): boolean {
    const keys = this.#keys;
    if (keys === undefined || packet.length > MAX_PLAINTEXT_BYTES) return false;
    const slot = this.#host.slot();
    slot.set(packet);
    const length = keys.rtpOut.protect(slot, packet.length);
    if (length < 0) return false;
    this.#counters.rtpOut += 1;
    this.#counters.bytesOut += length;
    this.#host.send(slot, length, this.#address, this.#port);
    return true;
  }

  sendRtcp(packet: Buffer): boolean {
    const keys = this.#keys;
    if (keys === undefined || packet.length > MAX_PLAINTEXT_BYTES) return false;
    const slot = this.#host.slot();
    slot.set(packet);
    const length = keys.rtcpOut.protect(slot, packet.length);
    if (length < 0) return false;
    this.#counters.rtcpOut += 1;
    this.#counters.bytesOut += length;
    this.#host.send(slot, length, this.#address, this.#port);
    return true;
  }

  // ── the steps ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #selected(address: string, port: number): void {
    this.#address = address;
    this.#port = port;
    if (this.#dtls !== undefined || this.#remote === undefined) return;
    this.#dtls = new DtlsEndpoint(
      {
        role: this.#dtlsRole,
        certificate: this.#host.certificate,
        remoteFingerprint: this.#remote.fingerprint,
        timeoutMs: this.#host.dtlsTimeoutMs,
      },
      {
        clock: this.#host.clock,
        counters: this.#counters,
        random: (bytes) => this.#host.random(bytes),
        sendDtls: (datagram) => this.#host.send(datagram, datagram.length, this.#address, this.#port),
        onKeys: (masters) => this.#connected(masters),
        onFailed: (reason, detail) => this.#fail(reason, detail),
      },
    );
    this.#events.onIceConnected();
    if (this.#over) return;
    this.#dtls.start();
    // A client has said nothing yet that could have been answered.
    if (this.#dtlsRole === "client") this.#earlyDtls.length = 0;
    for (const early of this.#earlyDtls.splice(0)) this.receive(early.packet, "dtls", early.address, early.port);
  }

  #connected(masters: SrtpMasters): void {
    this.#keys = {
      rtpIn: new SrtpContext(masters.remote),
      rtpOut: new SrtpContext(masters.local),
      rtcpIn: new SrtcpContext(masters.remote),
      rtcpOut: new SrtcpContext(masters.local),
    };
    this.#events.onConnected();
  }

  #fail(reason: FailureReason, detail: string): void {
    if (this.#over) return;
    // Close consent's loss and the like with a goodbye, in case only one direction is broken.
    this.#dtls?.close();
    this.#end();
    this.#events.onFailed(reason, detail);
  }

  #end(): void {
    this.#over = true;
    this.#keys = undefined;
    this.#earlyDtls.length = 0;
    this.#ice.close();
    this.#host.release();
  }
}

/** How much longer than its plaintext a protected packet can be; for the size of `SessionHost.slot`. */
export const SLOT_BYTES = MAX_PLAINTEXT_BYTES + Math.max(TAG_BYTES, SRTCP_OVERHEAD_BYTES);
