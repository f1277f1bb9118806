import type { Fingerprint } from "#core/sdp/transport.ts";
import type { Clock } from "#engine/ports.ts";
import type { DtlsRole, FailureReason, SessionCounters } from "#media/transport/contract.ts";
import type { DtlsCertificate } from "./certificate.ts";
import { ClientHandshake } from "./client-handshake.ts";
import { CHANGE_CIPHER_SPEC, type FlightPart, type Handshake } from "./handshake.ts";
import type { SrtpMasters, WriteKeys } from "./key-schedule.ts";
import { fragmentsOf, MESSAGE_HEADER_BYTES, Reassembly } from "./reassembly.ts";
import { type DtlsRecord, RecordLayer, readRecords } from "./record-layer.ts";
import { ServerHandshake } from "./server-handshake.ts";
import { ALERT, CONTENT, DtlsRefusal, HANDSHAKE } from "./wire.ts";

/** Fits through tunnels and IPv6's least MTU of 1280 with its headers. */
const MAX_DATAGRAM_BYTES = 1_200;
/** Leaves room for the headers of record and message and for GCM. */
const MAX_FRAGMENT_BYTES = 1_100;

/**
 * A flight is repeated after these waits, the last for ever (RFC 6347 §4.2.4.1 suggests 1 s, libwebrtc takes 50 ms): a lost
 * ClientHello is silence in a caller's ear, and the packets are few.
 */
const REPEAT_MS = [200, 400, 800, 1_000] as const;
/** The far end's repetition makes us repeat too, but not more often than this: its packets may be spoofed. */
const LEAST_REPEAT_MS = 100;

/** An alert in the clear may be forged; a real one is followed by silence. So the handshake gets this long to prove it wrong. */
const ALERT_GRACE_MS = 1_500;

/** Encrypted records that overtake the keys: Finished, and perhaps a copy. */
const MAX_WAITING_RECORDS = 4;

/** A client that starts anew, or packets that claim it does. Each costs 0.2 ms of signing. */
const MAX_RESTARTS = 8;

export interface DtlsOptions {
  readonly role: DtlsRole;
  readonly certificate: DtlsCertificate;
  readonly remoteFingerprint: Fingerprint;
  readonly timeoutMs: number;
}

/** What the endpoint needs of its session. None of these may throw. */
export interface DtlsHost {
  readonly clock: Clock;
  readonly counters: SessionCounters;
  random(bytes: number): Buffer;
  sendDtls(datagram: Buffer): void;
  onKeys(masters: SrtpMasters): void;
  onFailed(reason: FailureReason, detail: string): void;
}

type State = "handshake" | "connected" | "closed";

/**
 * One end of a DTLS 1.2 association that carries SRTP's keys and nothing else (RFC 5764). Takes datagrams of the address that
 * ICE validated, in any order and of any content, and never throws.
 */
export class DtlsEndpoint {
  readonly #options: DtlsOptions;
  readonly #host: DtlsHost;
  readonly #waiting: DtlsRecord[] = [];
  #records = new RecordLayer();
  #reassembly = new Reassembly();
  #handshake: Handshake;
  #state: State = "handshake";
  #flight: readonly FlightPart[] = [];
  #flightRepeats = false;
  #attempts = 0;
  #sentAt = Number.NEGATIVE_INFINITY;
  #clientHello: Buffer | undefined;
  #restarts = 0;
  #alert: number | undefined;
  #cancelRepeat: (() => void) | undefined;
  #cancelDeadline: (() => void) | undefined;

  constructor(options: DtlsOptions, host: DtlsHost) {
    this.#options = options;
    this.#host = host;
    this.#handshake = this.#newHandshake();
  }

  /** A client sends its hello, a server waits for it; both for no longer than the timeout. */
  start(): void {
    this.#deadline(this.#options.timeoutMs);
    this.#handshake.start();
  }

  receive(datagram: Buffer): void {
    const records = readRecords(datagram);
    if (records.length === 0) this.#host.counters.dtlsMalformed += 1;
    for (const record of records) {
      if (this.#state === "closed") return;
      this.#receiveRecord(record);
    }
  }

  /** Says close_notify, when there is somebody to tell it to, and stops all timers. */
  close(): void {
    if (this.#state === "connected") this.#sendAlert(1, ALERT.closeNotify);
    this.#stop();
  }

  // ── records in ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #receiveRecord(record: DtlsRecord): void {
    if (record.epoch === 0) {
      if (record.type === CONTENT.alert) this.#plaintextAlert(record.fragment);
      else if (record.type === CONTENT.handshake && this.#state === "handshake") this.#fragment(record.fragment, 0);
      return;
    }
    if (record.epoch !== 1) {
      this.#host.counters.dtlsMalformed += 1;
    } else if (!this.#records.ready) {
      if (this.#waiting.length < MAX_WAITING_RECORDS)
        this.#waiting.push({ ...record, fragment: Buffer.from(record.fragment) });
    } else this.#receiveSealed(record);
  }

  #receiveSealed(record: DtlsRecord): void {
    const plain = this.#records.open(record);
    if (plain === undefined) this.#host.counters.dtlsMalformed += 1;
    else if (record.type === CONTENT.alert) this.#sealedAlert(plain);
    else if (record.type === CONTENT.handshake) this.#fragment(plain, 1);
  }

  /** Anybody who can spoof an address can send this, so it ends nothing by itself. */
  #plaintextAlert(fragment: Buffer): void {
    this.#host.counters.dtlsPlaintextAlerts += 1;
    const [level, description] = fragment;
    if (this.#state !== "handshake" || this.#alert !== undefined || fragment.length !== 2) return;
    if (level !== 2 && description !== ALERT.closeNotify) return;
    this.#alert = description ?? 0;
    this.#deadline(ALERT_GRACE_MS);
  }

  #sealedAlert(plain: Buffer): void {
    const [level, description] = plain;
    if (plain.length !== 2 || (level !== 2 && description !== ALERT.closeNotify)) return;
    const closed = description === ALERT.closeNotify ? "close_notify" : `alert ${description}`;
    if (this.#state === "connected") this.#sendAlert(1, ALERT.closeNotify);
    this.#fail(this.#state === "connected" ? "closed_by_peer" : "dtls_refused", closed);
  }

  // ── handshake messages ───────────────────────────────────────────────────────────────────────────────────────────────

  #fragment(fragment: Buffer, epoch: 0 | 1): void {
    const finished = fragment[0] === HANDSHAKE.finished;
    // Only Finished is encrypted; anything else under the keys would be a renegotiation.
    if (finished !== (epoch === 1)) {
      this.#host.counters.dtlsMalformed += 1;
      return;
    }
    if (epoch === 0 && this.#startsAnew(fragment)) this.#restart();
    const taken = this.#reassembly.take(fragment);
    if (taken === "malformed") this.#host.counters.dtlsMalformed += 1;
    else if (taken === "stale") this.#repeatOnDemand();
    if (this.#state === "handshake") this.#advance();
  }

  #advance(): void {
    try {
      for (let message = this.#reassembly.next(); message !== undefined; message = this.#reassembly.next()) {
        this.#stopRepeating();
        this.#handshake.take(message);
      }
    } catch (error) {
      this.#refuse(error);
      return;
    }
    if (this.#records.ready) for (const record of this.#waiting.splice(0)) this.#receiveSealed(record);
  }

  /** A server that sees another ClientHello than the one it answered forgets the old one: the first may have been forged. */
  #startsAnew(fragment: Buffer): boolean {
    if (this.#options.role !== "server" || fragment[0] !== HANDSHAKE.clientHello || this.#records.ready) return false;
    if (fragment.length < MESSAGE_HEADER_BYTES || fragment.readUInt16BE(4) !== 0) return false;
    const before = this.#clientHello;
    // Only whole hellos are compared; one in fragments is a repetition as far as we can tell.
    if (fragment.readUIntBE(1, 3) !== fragment.length - MESSAGE_HEADER_BYTES) return false;
    this.#clientHello = Buffer.from(fragment);
    return before !== undefined && !before.equals(fragment) && this.#restarts < MAX_RESTARTS;
  }

  #restart(): void {
    this.#restarts += 1;
    this.#stopRepeating();
    this.#reassembly = new Reassembly();
    this.#handshake = this.#newHandshake();
    this.#handshake.start();
  }

  #newHandshake(): Handshake {
    const host = {
      certificate: this.#options.certificate,
      remoteFingerprint: this.#options.remoteFingerprint,
      random: (bytes: number) => this.#host.random(bytes),
      sendFlight: (flight: readonly FlightPart[], repeat: boolean) => this.#sendFlight(flight, repeat),
      setKeys: (write: WriteKeys, read: WriteKeys) => this.#records.setKeys(write, read),
      onFinished: (masters: SrtpMasters) => this.#connected(masters),
    };
    return this.#options.role === "client" ? new ClientHandshake(host) : new ServerHandshake(host);
  }

  #connected(masters: SrtpMasters): void {
    this.#state = "connected";
    this.#stopRepeating();
    this.#cancelDeadline?.();
    // The last flight is the server's; a client that answered a copy of it would start a ping-pong.
    if (this.#options.role === "client") this.#flight = [];
    this.#host.onKeys(masters);
  }

  // ── flights out ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #sendFlight(flight: readonly FlightPart[], repeat: boolean): void {
    this.#flight = flight;
    this.#flightRepeats = repeat;
    this.#attempts = 0;
    this.#transmit();
  }

  #transmit(): void {
    this.#cancelRepeat?.();
    this.#sentAt = this.#host.clock.now();
    let datagram: Buffer[] = [];
    let bytes = 0;
    for (const record of this.#flight.flatMap((part) => this.#sealPart(part))) {
      if (bytes > 0 && bytes + record.length > MAX_DATAGRAM_BYTES) {
        this.#host.sendDtls(Buffer.concat(datagram));
        datagram = [];
        bytes = 0;
      }
      datagram.push(record);
      bytes += record.length;
    }
    if (bytes > 0) this.#host.sendDtls(Buffer.concat(datagram));
    if (!this.#flightRepeats) return;
    const waitMs = REPEAT_MS[Math.min(this.#attempts, REPEAT_MS.length - 1)] ?? 1_000;
    this.#attempts += 1;
    this.#cancelRepeat = this.#host.clock.after(waitMs, () => this.#transmit());
  }

  #sealPart(part: FlightPart): Buffer[] {
    if (part.message === undefined)
      return [this.#records.seal(CHANGE_CIPHER_SPEC.type, part.epoch, CHANGE_CIPHER_SPEC.body)];
    const fragments = fragmentsOf(part.message, MAX_FRAGMENT_BYTES);
    return fragments.map((fragment) => this.#records.seal(CONTENT.handshake, part.epoch, fragment));
  }

  /** The far end repeats itself: our answer was lost (RFC 6347 §4.2.4, also of the last flight). */
  #repeatOnDemand(): void {
    if (this.#flight.length > 0 && this.#host.clock.now() - this.#sentAt >= LEAST_REPEAT_MS) this.#transmit();
  }

  #stopRepeating(): void {
    this.#flightRepeats = false;
    this.#cancelRepeat?.();
    this.#cancelRepeat = undefined;
  }

  // ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  #deadline(afterMs: number): void {
    this.#cancelDeadline?.();
    this.#cancelDeadline = this.#host.clock.after(afterMs, () => {
      if (this.#alert === undefined) this.#fail("dtls_timeout", "the handshake was not completed");
      else this.#fail("dtls_refused", `the far end sent alert ${this.#alert}`);
    });
  }

  #refuse(error: unknown): void {
    const refusal = error instanceof DtlsRefusal ? error : new DtlsRefusal(ALERT.internalError, String(error));
    const { counters } = this.#host;
    if (refusal.kind === "forged_signature") counters.dtlsForgedSignature += 1;
    else if (refusal.kind === "forged_finished") counters.dtlsForgedFinished += 1;
    else if (refusal.kind === "wrong_fingerprint") counters.dtlsWrongFingerprint += 1;
    this.#sendAlert(2, refusal.alert);
    this.#fail(refusal.kind === "wrong_fingerprint" ? "fingerprint_mismatch" : "dtls_refused", refusal.message);
  }

  #sendAlert(level: 1 | 2, description: number): void {
    const epoch = this.#state === "connected" || this.#records.ready ? 1 : 0;
    this.#host.sendDtls(this.#records.seal(CONTENT.alert, epoch, Buffer.from([level, description])));
  }

  #fail(reason: FailureReason, detail: string): void {
    if (this.#state === "closed") return;
    this.#stop();
    this.#host.onFailed(reason, detail);
  }

  #stop(): void {
    this.#state = "closed";
    this.#stopRepeating();
    this.#cancelDeadline?.();
    this.#cancelDeadline = undefined;
    this.#flight = [];
    this.#waiting.length = 0;
  }
}
