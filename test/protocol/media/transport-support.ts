import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { Candidate, DtlsSetup, LocalTransport, RemoteTransport } from "#core/sdp/transport.ts";
import type { FailureReason, SecureSessionEvents } from "#media/transport/contract.ts";

export interface Failure {
  readonly reason: FailureReason;
  readonly detail: string;
}

/** Remembers what a session told, and lets a test wait for it. */
export class Witness implements SecureSessionEvents {
  readonly told: string[] = [];
  readonly rtp: Buffer[] = [];
  readonly rtcp: Buffer[] = [];
  readonly #connected = Promise.withResolvers<void>();
  readonly #failed = Promise.withResolvers<Failure>();
  #wanted: { readonly count: number; readonly resolve: () => void } | undefined;

  get connected(): Promise<void> {
    return this.#connected.promise;
  }

  get failed(): Promise<Failure> {
    return this.#failed.promise;
  }

  onIceConnected(): void {
    this.told.push("ice");
  }

  onConnected(): void {
    this.told.push("connected");
    this.#connected.resolve();
  }

  onRtp(packet: Buffer): void {
    this.rtp.push(Buffer.from(packet));
    if (this.#wanted && this.rtp.length >= this.#wanted.count) this.#wanted.resolve();
  }

  onRtcp(packet: Buffer): void {
    this.rtcp.push(Buffer.from(packet));
  }

  onFailed(reason: FailureReason, detail: string): void {
    this.told.push(`failed: ${reason}`);
    this.#failed.resolve({ reason, detail });
  }

  /** Resolves when `count` RTP packets came in all. */
  async heard(count: number): Promise<void> {
    if (this.rtp.length >= count) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wanted = { count, resolve };
    await promise;
  }
}

const OUR_SSRC = 0x706f6e74;

/** A 20 ms Opus packet with recognisable content. */
export function rtpPacket(sequence: number, ssrc = OUR_SSRC): Buffer {
  const packet = Buffer.alloc(72, sequence & 0xff);
  packet[0] = 0x80;
  packet[1] = 111;
  packet.writeUInt16BE(sequence & 0xffff, 2);
  packet.writeUInt32BE((sequence * 960) >>> 0, 4);
  packet.writeUInt32BE(ssrc, 8);
  return packet;
}

/** A description with one audio line, as far as a WebRTC stack needs one. */
export function describeTransport(local: LocalTransport, setup: DtlsSetup, mid = "0"): string {
  const lines = [
    "v=0",
    "o=- 1 2 IN IP4 127.0.0.1",
    "s=-",
    "t=0 0",
    `a=group:BUNDLE ${mid}`,
    ...(local.lite ? ["a=ice-lite"] : []),
    `m=audio ${local.candidates[0]?.port ?? 9} UDP/TLS/RTP/SAVPF 111`,
    "c=IN IP4 127.0.0.1",
    "a=rtcp:9 IN IP4 0.0.0.0",
    ...local.candidates.map(
      (c) => `a=candidate:${c.foundation} 1 udp ${c.priority} ${c.address} ${c.port} typ host generation 0`,
    ),
    `a=ice-ufrag:${local.ufrag}`,
    `a=ice-pwd:${local.pwd}`,
    `a=fingerprint:${local.fingerprint.algorithm} ${local.fingerprint.value}`,
    `a=setup:${setup}`,
    `a=mid:${mid}`,
    "a=sendrecv",
    "a=rtcp-mux",
    "a=rtpmap:111 opus/48000/2",
    "a=fmtp:111 minptime=10;useinbandfec=1",
    "a=msid:ponte ponte-audio",
    `a=ssrc:${OUR_SSRC} cname:ponte`,
  ];
  return `${lines.join("\r\n")}\r\n`;
}

/** What a stack's description says of its transport. */
export function readTransport(sdp: string): RemoteTransport {
  const one = (name: string): string => new RegExp(`^a=${name}:(.*)$`, "m").exec(sdp)?.[1]?.trim() ?? "";
  const [algorithm = "", value = ""] = one("fingerprint").split(" ");
  const candidates = [...sdp.matchAll(/^a=candidate:(\S+) 1 udp (\d+) (\S+) (\d+) typ (\S+)/gim)];
  return {
    ufrag: one("ice-ufrag"),
    pwd: one("ice-pwd"),
    lite: /^a=ice-lite/m.test(sdp),
    fingerprint: { algorithm: algorithm.toLowerCase(), value: value.toUpperCase() },
    setup: one("setup") as DtlsSetup,
    candidates: candidates.map(([, foundation = "", priority, address = "", port, type]) => ({
      foundation,
      component: 1,
      priority: Number(priority),
      address,
      port: Number(port),
      type: (type ?? "host") as Candidate["type"],
    })),
  };
}

/** Answers an offer's setup: the offerer of `actpass` leaves the choice to us. */
export function remoteOf(local: LocalTransport, setup: DtlsSetup): RemoteTransport {
  return { ...local, setup };
}

/**
 * Somebody on the way: forwards between our port and the relay's, keeps copies, and can send with the address that either of
 * them validated. To our end it looks like the relay.
 */
export class Middleman {
  readonly #facingUs = createSocket("udp4");
  readonly #facingRelay = createSocket("udp4");
  readonly #relayPort: number;
  #ourPort = 0;
  /** What the relay sent. */
  readonly fromRelay: Buffer[] = [];
  /** What our end sent. */
  readonly fromUs: Buffer[] = [];
  /** Changes, or drops, what goes by. */
  tamper: (packet: Buffer, sender: "us" | "relay") => Buffer | undefined = (packet) => packet;

  constructor(relayPort: number) {
    this.#relayPort = relayPort;
  }

  async start(): Promise<number> {
    for (const socket of [this.#facingUs, this.#facingRelay]) {
      socket.bind(0, "127.0.0.1");
      await once(socket, "listening");
    }
    this.#facingUs.on("message", (packet, source) => {
      this.#ourPort = source.port;
      this.fromUs.push(packet);
      const changed = this.tamper(packet, "us");
      if (changed) this.#facingRelay.send(changed, this.#relayPort, "127.0.0.1");
    });
    this.#facingRelay.on("message", (packet) => {
      this.fromRelay.push(packet);
      const changed = this.tamper(packet, "relay");
      if (changed) this.#facingUs.send(changed, this.#ourPort, "127.0.0.1");
    });
    return this.#facingUs.address().port;
  }

  /** Sends to our end with the relay's address, as our end knows it. */
  async sendAsRelay(packet: Buffer): Promise<void> {
    await new Promise<void>((done) => this.#facingUs.send(packet, this.#ourPort, "127.0.0.1", () => done()));
  }

  /** Sends to the relay with our address. */
  async sendAsUs(packet: Buffer): Promise<void> {
    await new Promise<void>((done) => this.#facingRelay.send(packet, this.#relayPort, "127.0.0.1", () => done()));
  }

  stop(): void {
    this.#facingUs.close();
    this.#facingRelay.close();
  }
}
