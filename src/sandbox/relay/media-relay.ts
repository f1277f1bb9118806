import { randomBytes } from "node:crypto";
import type { FailureReason, SecureSession } from "#media/transport/contract.ts";
import { PublicPort } from "#media/transport/public-port.ts";
import { systemClock } from "#media/transport/system-clock.ts";
import { type Clock, Timers } from "#sandbox/clock.ts";
import type { Modes } from "#sandbox/meta/modes.ts";
import type { SdpView } from "#sandbox/meta/sdp-view.ts";
import { type Random, randomInteger, seededRandom } from "#sandbox/random.ts";
import { transportOf } from "./answer.ts";
import { Inspector } from "./inspector.ts";
import { currentOffer, olderOffer } from "./offer.ts";
import type { RelayCall, RelayEvents, RelayPort, RelayStatistics } from "./ports.ts";
import { Reports } from "./reports.ts";
import { readRtp, setSsrc } from "./rtp.ts";

export interface RelayTimings {
  /** M10: without any RTP for this long after the pickup the client gives up. */
  readonly firstMediaMs: number;
  /** M10: the same later, when RTCP counts too. */
  readonly mediaMs: number;
  /** Between two RTCP reports (RFC 3550 §6.2). */
  readonly reportMs: number;
}

export const defaultRelayTimings: RelayTimings = { firstMediaMs: 20_000, mediaMs: 30_000, reportMs: 5_000 };

export interface RelayOptions {
  readonly clock?: Clock;
  readonly seed?: number;
  /** UDP port for all calls, as at Meta; 0, the default: any free one. */
  readonly port?: number;
  /** Address that the business can reach. */
  readonly address?: string;
  readonly address6?: string;
  readonly timings?: Partial<RelayTimings>;
}

/** The relay waits as long as a phone may ring; whether media came is judged by M10. */
const ICE_TIMEOUT_MS = 120_000;
const DTLS_TIMEOUT_MS = 60_000;

/**
 * Meta's media relay on the business leg: ICE-lite, DTLS server, one UDP port for all calls.
 *
 *     business (ponte) ⇄ ICE-lite · DTLS server · SRTP ⇄ rules ⇄ plain RTP ⇄ the user's phone
 */
export class MediaRelay implements RelayPort {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #options: RelayOptions;
  readonly #timings: RelayTimings;
  readonly #calls = new Set<CallAtRelay>();
  #port: PublicPort | undefined;
  #port6: PublicPort | undefined;

  constructor(options: RelayOptions = {}) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = seededRandom(options.seed ?? 2);
    this.#timings = { ...defaultRelayTimings, ...options.timings };
  }

  async start(): Promise<void> {
    const { address = "127.0.0.1", address6, port = 0 } = this.#options;
    this.#port = portOf({ port, bind4: address });
    await this.#port.start();
    if (address6 === undefined) return;
    this.#port6 = portOf({ port, bind4: address, bind6: address6 });
    await this.#port6.start();
  }

  async stop(): Promise<void> {
    for (const call of [...this.#calls]) call.close();
    await this.#port?.stop();
    await this.#port6?.stop();
    this.#port = undefined;
    this.#port6 = undefined;
  }

  open(modes: Modes, events: RelayEvents): RelayCall {
    const port = modes.ipv6 === "reachable" ? this.#port6 : this.#port;
    if (port === undefined) throw new Error("the relay is not started, or has no IPv6 address");
    const call: CallAtRelay = new CallAtRelay({
      clock: this.#clock,
      random: this.#random,
      timings: this.#timings,
      modes,
      events,
      port,
      onClosed: () => this.#calls.delete(call),
    });
    this.#calls.add(call);
    return call;
  }
}

/**
 * Credentials in Meta's shape: 12 bytes for a ufrag of 16 characters, 16 bytes for a password of 24 characters, whose last two
 * are base64's `=`, outside of the grammar's `ice-char`: whoever answers must take them as they are.
 */
function portOf(where: { readonly port: number; readonly bind4: string; readonly bind6?: string }): PublicPort {
  const random = (bytes: number): Buffer => randomBytes(bytes === 6 ? 12 : bytes === 18 ? 16 : bytes);
  return new PublicPort({ ...where, iceTimeoutMs: ICE_TIMEOUT_MS, dtlsTimeoutMs: DTLS_TIMEOUT_MS, random });
}

interface CallOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly timings: RelayTimings;
  readonly modes: Modes;
  readonly events: RelayEvents;
  readonly port: PublicPort;
  readonly onClosed: () => void;
}

class CallAtRelay implements RelayCall {
  readonly offer: string;
  readonly #options: CallOptions;
  readonly #timers: Timers;
  readonly #session: SecureSession;
  readonly #inspector: Inspector;
  readonly #reports: Reports;
  /** Towards the business, as the offer says; and the one that the user hears whatever the business sends. */
  readonly #ssrc: number;
  readonly #userSsrc: number;
  #toBusiness = 0;
  #heldBack = 0;
  #reportsFromBusiness = 0;
  #answeredAt: number | undefined;
  #connectMs: number | undefined;
  #accepted = false;
  #heardAt: number | undefined;
  #watching = false;
  #closed = false;

  constructor(options: CallOptions) {
    const { random, events, modes, clock } = options;
    this.#options = options;
    this.#timers = new Timers(clock);
    this.#ssrc = randomInteger(random, 1, 2 ** 32 - 1);
    this.#userSsrc = randomInteger(random, 1, 2 ** 32 - 1);
    this.#inspector = new Inspector((rule, text) => events.onViolation(rule, text));
    this.#reports = new Reports(this.#ssrc, this.#inspector);
    this.#session = options.port.open({
      mode: "lite",
      events: {
        onIceConnected: () => undefined,
        onConnected: () => this.#connected(),
        onRtp: (packet) => this.#fromBusiness(packet),
        onRtcp: (packet) => this.#rtcp(packet),
        onFailed: (reason, detail) => this.#failed(reason, detail),
      },
    });
    const streamId = randomUuid(random);
    const facts = { local: this.#session.local, ssrc: this.#ssrc, streamId, now: clock.now(), ipv6: modes.ipv6 };
    this.offer = modes.offerShape === "older" ? olderOffer(facts) : currentOffer(facts);
  }

  answer(answer: SdpView, connects: boolean): void {
    const remote = transportOf(answer);
    if (!connects || remote === undefined || this.#answeredAt !== undefined) return;
    this.#answeredAt = this.#options.clock.now();
    this.#session.connect(remote, remote.setup === "passive" ? "client" : "server");
  }

  accept(): void {
    if (this.#closed) return;
    this.#accepted = true;
    this.#watchMedia();
  }

  sendRtp(packet: Buffer): void {
    // M7: nothing leaves the relay before the business sent its first packet.
    if (this.#closed || this.#heardAt === undefined) {
      this.#heldBack += 1;
      return;
    }
    setSsrc(packet, this.#ssrc);
    if (!this.#session.sendRtp(packet)) return;
    this.#toBusiness += 1;
    this.#reports.sent(packet, this.#options.clock.now());
  }

  statistics(): RelayStatistics {
    return {
      fromBusiness: this.#inspector.packets,
      toBusiness: this.#toBusiness,
      heldBack: this.#heldBack,
      lost: this.#inspector.lost,
      digits: this.#inspector.digits,
      reportsFromBusiness: this.#reportsFromBusiness,
      ...(this.#connectMs === undefined ? {} : { connectMs: this.#connectMs }),
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timers.cancelAll();
    this.#session.close();
    this.#options.onClosed();
  }

  #connected(): void {
    const { clock, events, timings } = this.#options;
    this.#connectMs = clock.now() - (this.#answeredAt ?? clock.now());
    events.onConnected();
    const report = (): void => {
      const compound = this.#reports.compound(clock.now());
      if (compound !== undefined) this.#session.sendRtcp(compound);
      this.#timers.after(timings.reportMs, report);
    };
    this.#timers.after(timings.reportMs, report);
  }

  #fromBusiness(packet: Buffer): void {
    const rtp = readRtp(packet);
    if (this.#closed || rtp === undefined) return;
    const { events, clock } = this.#options;
    if (!this.#inspector.take(rtp, this.#accepted)) return;
    const first = this.#heardAt === undefined;
    this.#heardAt = clock.now();
    this.#reports.received(rtp, this.#heardAt);
    if (first) {
      events.onFirstRtp();
      this.#watchMedia();
    }
    setSsrc(packet, this.#userSsrc);
    events.onRtp(packet);
  }

  /** M10: later, RTCP alone keeps the call alive. M14: a BYE is a packet like any other. */
  #rtcp(packet: Buffer): void {
    const now = this.#options.clock.now();
    this.#reportsFromBusiness += 1;
    if (this.#heardAt !== undefined) this.#heardAt = now;
    this.#reports.heard(packet, now);
  }

  #failed(reason: FailureReason, detail: string): void {
    // M6. Any other failure looks to the client like silence, and ends the call by M10.
    if (reason === "fingerprint_mismatch" && !this.#closed) this.#options.events.onDead(138023, detail);
  }

  /** M10: from the pickup on, silence ends the call. */
  #watchMedia(): void {
    if (this.#watching || this.#closed) return;
    this.#watching = true;
    const { clock, timings, events } = this.#options;
    const pickedUpAt = clock.now();
    const look = (): void => {
      const limit = this.#heardAt === undefined ? timings.firstMediaMs : timings.mediaMs;
      const left = (this.#heardAt ?? pickedUpAt) + limit - clock.now();
      if (left > 0) this.#timers.after(left, look);
      else events.onDead(138021, `No media from the business for ${Math.round(limit / 1000)} seconds`);
    };
    look();
  }
}

function randomUuid(random: Random): string {
  const hex = Array.from({ length: 32 }, () => randomInteger(random, 0, 15).toString(16)).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
}
