import { randomBytes } from "node:crypto";
import type { RemoteInfo } from "node:dgram";
import { networkInterfaces } from "node:os";
import type { Candidate, LocalTransport, RemoteTransport } from "#core/sdp/transport.ts";
import type { Clock } from "#engine/ports.ts";
import { canonicalAddress, familyOf } from "./address.ts";
import type { IceMode, PublicPortCounters, SecureSession, SecureSessionEvents } from "./contract.ts";
import { addCounters, newSessionCounters } from "./counters.ts";
import { packetKind } from "./demux.ts";
import { type DtlsCertificate, makeCertificate } from "./dtls/certificate.ts";
import type { IceRole } from "./ice-agent.ts";
import { PortSession, type SessionHost, SLOT_BYTES } from "./secure-session.ts";
import { parseStun, receiverUfrag, type StunMessage } from "./stun.ts";
import { systemClock } from "./system-clock.ts";
import { UdpLane } from "./udp-lane.ts";

/** ICE takes a few round trips; a relay that has not got our description yet takes as long as Meta's signalling. */
const ICE_TIMEOUT_MS = 15_000;
/** Three round trips, with room for several losses. */
const DTLS_TIMEOUT_MS = 10_000;

/** Each lane costs a socket or two. A worker carries fewer calls than this. */
const MAX_LANES = 1_024;

const MAX_BIND_ATTEMPTS = 5;

/** Protected packets that the system has not taken yet, which happens only when the socket's buffer is full. */
const SLOTS = 256;

export interface PublicPortOptions {
  /** The UDP port; 0 lets the system choose. */
  readonly port: number;
  /** Ports for further calls to a far end that is being talked to from `port`; the system chooses when they are used up. */
  readonly sparePorts?: readonly number[];
  /** Address to bind to; undefined: no IPv4. */
  readonly bind4?: string | undefined;
  /** Address to bind to; undefined: no IPv6. */
  readonly bind6?: string | undefined;
  /** Addresses that the far end shall send to, at most one of each family; needed behind a 1:1 NAT. Default: the bound ones. */
  readonly announced?: readonly string[];
  readonly iceTimeoutMs?: number;
  readonly dtlsTimeoutMs?: number;
  /** One per process; made when it is not given. */
  readonly certificate?: DtlsCertificate;
  /** Told of exceptions while a packet or a timer was handled: bugs, which end the session that they happened in. */
  readonly onBug?: (error: unknown) => void;
  readonly clock?: Clock;
  readonly random?: (bytes: number) => Buffer;
}

export interface OpenOptions {
  readonly mode: IceMode;
  readonly events: SecureSessionEvents;
  /** When the far end is known already, the port that is announced is the one that will be used. */
  readonly remote?: RemoteTransport;
  /** Of a full agent towards a full one; a conflict is resolved. Default: controlling, which Meta needs. */
  readonly iceRole?: IceRole;
}

type Lane = UdpLane<PortSession>;

/**
 * The UDP port of a worker that all WhatsApp legs share. STUN belongs to the session whose ufrag it names (or whose check it
 * answers), everything else to the session whose far end was validated at its source address.
 *
 * Two calls may have the same far address: a relay has one port for many calls. Then the pair of addresses would no longer
 * tell them apart, on either side, so the second call gets another local port, a "lane" of its own.
 */
export class PublicPort {
  readonly #options: PublicPortOptions;
  readonly #clock: Clock;
  readonly #random: (bytes: number) => Buffer;
  readonly #lanes: Lane[] = [];
  readonly #sparePorts: number[];
  readonly #byUfrag = new Map<string, PortSession>();
  readonly #laneOf = new Map<PortSession, Lane>();
  readonly #byTransaction = new Map<string, PortSession>();
  readonly #slots = Array.from({ length: SLOTS }, () => Buffer.allocUnsafeSlow(SLOT_BYTES));
  readonly #closed = newSessionCounters();
  readonly #refused = {
    unknownUfrag: 0,
    unknownSource: 0,
    takenSource: 0,
    unknownPackets: 0,
    socketErrors: 0,
    bugs: 0,
  };
  readonly #closing = new Set<Promise<void>>();
  /** Whose packet is being handled. */
  #current: PortSession | undefined;
  #nextSlot = 0;
  #certificate: DtlsCertificate | undefined;

  constructor(options: PublicPortOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? randomBytes;
    this.#sparePorts = [...(options.sparePorts ?? [])];
    this.#certificate = options.certificate;
  }

  /** The port that sessions are normally on; 0 before the start. */
  get port(): number {
    return this.#lanes[0]?.port ?? 0;
  }

  /** Binds the port. Rejects with the system's error when it is taken. */
  async start(): Promise<void> {
    if (this.#lanes.length > 0) return;
    this.#certificate ??= makeCertificate(Date.now());
    this.#addLane(this.#options.port);
  }

  /** Closes all sessions and sockets. */
  async stop(): Promise<void> {
    for (const session of [...this.#laneOf.keys()]) session.close();
    await Promise.all([...this.#lanes.splice(0).map((lane) => lane.close()), ...this.#closing]);
  }

  open(options: OpenOptions): SecureSession {
    const certificate = this.#certificate;
    const lane = options.remote ? this.#freeLane(options.remote) : this.#lanes[0];
    if (certificate === undefined || lane === undefined) throw new Error("the port is not started");
    const local: LocalTransport = {
      ufrag: this.#unusedUfrag(),
      // 24 characters of 6 bits (RFC 8839 §5.4 wants 128 bits at least).
      pwd: this.#random(18).toString("base64"),
      lite: options.mode === "lite",
      fingerprint: certificate.fingerprint,
      candidates: this.#candidates(lane),
    };
    const host = this.#sessionHost(certificate, () => session);
    const { events, iceRole = "controlling" } = options;
    const session: PortSession = new PortSession({ local, iceRole, events }, host);
    this.#byUfrag.set(local.ufrag, session);
    this.#laneOf.set(session, lane);
    return session;
  }

  counters(): PublicPortCounters {
    const sum = { ...this.#closed };
    for (const session of this.#laneOf.keys()) addCounters(sum, session.counters());
    return { ...sum, ...this.#refused, sessions: this.#laneOf.size };
  }

  // ── packets in ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #receiveSafely(lane: Lane, packet: Buffer, source: RemoteInfo): void {
    this.#current = undefined;
    try {
      this.#receive(lane, packet, source);
    } catch (error) {
      this.#bug(error, this.#current);
    }
  }

  #bug(error: unknown, session: PortSession | undefined): void {
    this.#refused.bugs += 1;
    this.#options.onBug?.(error);
    session?.failByBug(error);
  }

  /** Timers of a session, whose exceptions end the session only. */
  #guardedClock(self: () => PortSession): Clock {
    return {
      now: () => this.#clock.now(),
      after: (ms, task) =>
        this.#clock.after(ms, () => {
          try {
            task();
          } catch (error) {
            this.#bug(error, self());
          }
        }),
    };
  }

  #receive(lane: Lane, packet: Buffer, source: RemoteInfo): void {
    const kind = packetKind(packet);
    if (kind === "stun") {
      this.#receiveStun(lane, packet, source);
      return;
    }
    if (kind === "unknown") {
      this.#refused.unknownPackets += 1;
      return;
    }
    const session = lane.ownerOf(source.address, source.port);
    this.#current = session;
    if (session === undefined) this.#refused.unknownSource += 1;
    else session.receive(packet, kind, source.address, source.port);
  }

  #receiveStun(lane: Lane, packet: Buffer, source: RemoteInfo): void {
    const message = parseStun(packet);
    if (message === undefined) {
      this.#closed.stunMalformed += 1;
      return;
    }
    const session = this.#addressee(message);
    if (session !== undefined && this.#laneOf.get(session) === lane) {
      this.#current = session;
      session.receiveStun(packet, message, source.address, source.port);
    } else if (message.class === "request") this.#refused.unknownUfrag += 1;
    else if (message.class !== "indication") this.#closed.stunUnexpected += 1;
  }

  #addressee(message: StunMessage): PortSession | undefined {
    if (message.class === "request") return this.#byUfrag.get(receiverUfrag(message.username) ?? "");
    return this.#byTransaction.get(message.transactionId);
  }

  // ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #sessionHost(certificate: DtlsCertificate, self: () => PortSession): SessionHost {
    const latched = new Map<string, { readonly address: string; readonly port: number }>();
    const own = (address: string, port: number): void => {
      const lane = this.#laneOf.get(self());
      const owner = lane?.ownerOf(address, port);
      // Whoever knows the passwords of one call must not be able to make another one deaf.
      if (owner !== undefined && owner !== self()) {
        this.#refused.takenSource += 1;
        return;
      }
      latched.set(`${address} ${port}`, { address, port });
      lane?.own(address, port, self());
    };
    return {
      clock: this.#guardedClock(self),
      certificate,
      iceTimeoutMs: this.#options.iceTimeoutMs ?? ICE_TIMEOUT_MS,
      dtlsTimeoutMs: this.#options.dtlsTimeoutMs ?? DTLS_TIMEOUT_MS,
      random: this.#random,
      reaches: (family) => this.#laneOf.get(self())?.reaches(family) === true,
      send: (packet, length, address, port) => this.#laneOf.get(self())?.send(packet, length, address, port),
      slot: () => this.#slot(),
      expectResponse: (transactionId) => this.#byTransaction.set(transactionId, self()),
      forgetResponse: (transactionId) => this.#byTransaction.delete(transactionId),
      latch: (address, port) => {
        if (latched.size < MAX_LATCHED || latched.has(`${address} ${port}`)) own(address, port);
      },
      prepare: (remote) => {
        if (!self().local.lite && remote.lite) this.#claim(self(), remote, own);
      },
      release: () => {
        const lane = this.#laneOf.get(self());
        for (const { address, port } of latched.values()) lane?.disown(address, port, self());
        this.#laneOf.delete(self());
        if (lane !== undefined) this.#retire(lane);
        this.#byUfrag.delete(self().local.ufrag);
        addCounters(this.#closed, self().counters());
      },
    };
  }

  /** Takes the addresses of a relay for this session alone, on another lane if need be. */
  #claim(session: PortSession, remote: RemoteTransport, own: (address: string, port: number) => void): void {
    const lane = this.#laneOf.get(session);
    if (lane === undefined) return;
    if (!isFree(lane, remote, session)) this.#laneOf.set(session, this.#freeLane(remote) ?? lane);
    for (const { address, port } of targets(remote)) own(address, port);
  }

  /** A lane on which nobody talks to this far end; the last resort, when there are too many, is the first. */
  #freeLane(remote: RemoteTransport): Lane | undefined {
    const free = this.#lanes.find((lane) => isFree(lane, remote, undefined));
    if (free || this.#lanes.length >= MAX_LANES || this.#lanes.length === 0) return free ?? this.#lanes[0];
    for (let port = this.#sparePorts.shift(); port !== undefined; port = this.#sparePorts.shift()) {
      const spare = this.#tryLane(port);
      if (spare) return spare;
    }
    return this.#tryLane(0) ?? this.#lanes[0];
  }

  /** A further lane lives as long as its calls. Its port goes to the end of the queue, so that late packets have time to pass. */
  #retire(lane: Lane): void {
    if (lane === this.#lanes[0] || [...this.#laneOf.values()].includes(lane)) return;
    this.#lanes.splice(this.#lanes.indexOf(lane), 1);
    if (this.#options.sparePorts?.includes(lane.port)) this.#sparePorts.push(lane.port);
    const closing = lane.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  #tryLane(port: number): Lane | undefined {
    try {
      return this.#addLane(port);
    } catch {
      this.#refused.socketErrors += 1;
      return undefined;
    }
  }

  #addLane(port: number): Lane {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return this.#bindLane(port);
      } catch (error) {
        // The port that the system chose for IPv4 may be taken for IPv6.
        if (port !== 0 || attempt >= MAX_BIND_ATTEMPTS) throw error;
      }
    }
  }

  #bindLane(port: number): Lane {
    const lane: Lane = new UdpLane<PortSession>({
      onPacket: (from, packet, source) => this.#receiveSafely(from, packet, source),
      onError: () => {
        this.#refused.socketErrors += 1;
      },
    });
    lane.bind({ port, ...this.#families() });
    this.#lanes.push(lane);
    return lane;
  }

  #slot(): Buffer {
    this.#nextSlot = (this.#nextSlot + 1) % SLOTS;
    return this.#slots[this.#nextSlot] ?? Buffer.allocUnsafeSlow(SLOT_BYTES);
  }

  /** Eight characters of `ice-char` (48 bits), none of which another session has. */
  #unusedUfrag(): string {
    for (;;) {
      const ufrag = this.#random(6).toString("base64");
      if (!this.#byUfrag.has(ufrag)) return ufrag;
    }
  }

  #candidates(lane: Lane): Candidate[] {
    const { bind4, bind6 } = this.#families();
    const addresses = this.#options.announced ?? boundAddresses(bind4, bind6);
    const reachable = addresses.filter((address) => lane.reaches(familyOf(address) ?? "ipv4"));
    return reachable.map((address, index) => ({
      foundation: String(index + 1),
      component: 1,
      // RFC 8445 §5.1.2.1 with type preference 126 (host) and falling local preferences.
      priority: 126 * 2 ** 24 + (65_535 - index) * 2 ** 8 + 255,
      address: canonicalAddress(address),
      port: lane.port,
      type: "host",
    }));
  }

  /** Without any address to bind to, all of IPv4. */
  #families(): { readonly bind4: string | undefined; readonly bind6: string | undefined } {
    const { bind4, bind6 } = this.#options;
    return { bind4: bind4 ?? (bind6 === undefined ? "0.0.0.0" : undefined), bind6 };
  }
}

/** Addresses of a far end that a session keeps: its candidates and a few peer-reflexive ones. */
const MAX_LATCHED = 24;

function targets(remote: RemoteTransport): { readonly address: string; readonly port: number }[] {
  const literals = remote.candidates.filter(({ address }) => familyOf(address) !== undefined).slice(0, MAX_LATCHED / 2);
  return literals.map(({ address, port }) => ({ address: canonicalAddress(address), port }));
}

function isFree(lane: Lane, remote: RemoteTransport, session: PortSession | undefined): boolean {
  return targets(remote).every(({ address, port }) => {
    const owner = lane.ownerOf(address, port);
    return owner === undefined || owner === session;
  });
}

/** A wildcard is announced as the first address of its family that leads out of this machine, else as loopback. */
function boundAddresses(bind4: string | undefined, bind6: string | undefined): string[] {
  const addresses: string[] = [];
  if (bind4 !== undefined) addresses.push(bind4 === "0.0.0.0" ? (outwardAddress("IPv4") ?? "127.0.0.1") : bind4);
  if (bind6 !== undefined) addresses.push(bind6 === "::" ? (outwardAddress("IPv6") ?? "::1") : bind6);
  return addresses;
}

function outwardAddress(family: "IPv4" | "IPv6"): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return all.find((one) => one.family === family && !one.internal && !one.address.startsWith("fe80:"))?.address;
}
