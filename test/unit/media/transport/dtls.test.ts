import { describe, expect, test } from "vitest";
import { DtlsClient, DtlsServer, type DtlsSocket } from "werift";
import type { Fingerprint } from "#core/sdp/transport.ts";
import type { DtlsRole, SessionCounters } from "#media/transport/contract.ts";
import { newSessionCounters } from "#media/transport/counters.ts";
import { type DtlsCertificate, makeCertificate } from "#media/transport/dtls/certificate.ts";
import { DtlsEndpoint } from "#media/transport/dtls/endpoint.ts";
import type { SrtpMasters } from "#media/transport/dtls/key-schedule.ts";
import { fragmentsOf, Reassembly } from "#media/transport/dtls/reassembly.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { hex, mutate, seededRandom } from "./support.ts";

const clientCertificate = makeCertificate(Date.UTC(2026, 0, 1));
const serverCertificate = makeCertificate(Date.UTC(2026, 0, 1));

type Tamper = (datagram: Buffer, from: DtlsRole) => readonly Buffer[];

/** One end with everything that it said and learnt. */
interface End {
  readonly endpoint: DtlsEndpoint;
  readonly counters: SessionCounters;
  readonly keys: SrtpMasters[];
  readonly failures: string[];
  readonly sent: Buffer[];
}

/** Two ends and the wire between them, which delivers after a millisecond what `tamper` lets through. */
class Wire {
  readonly clock = new FakeClock();
  readonly client: End;
  readonly server: End;
  tamper: Tamper;

  constructor(
    tamper: Tamper = (datagram) => [datagram],
    expected: { client?: Fingerprint; server?: Fingerprint } = {},
  ) {
    this.tamper = tamper;
    this.client = this.#end("client", clientCertificate, expected.server ?? serverCertificate.fingerprint);
    this.server = this.#end("server", serverCertificate, expected.client ?? clientCertificate.fingerprint);
  }

  #end(role: DtlsRole, certificate: DtlsCertificate, remoteFingerprint: Fingerprint): End {
    const [counters, keys, failures, sent] = [
      newSessionCounters(),
      [] as SrtpMasters[],
      [] as string[],
      [] as Buffer[],
    ];
    const endpoint = new DtlsEndpoint(
      { role, certificate, remoteFingerprint, timeoutMs: 10_000 },
      {
        clock: this.clock,
        counters,
        random: seededRandom(`${role} random`),
        sendDtls: (datagram) => {
          sent.push(datagram);
          const other = role === "client" ? "server" : "client";
          for (const packet of this.tamper(datagram, role))
            this.clock.after(1, () => this[other].endpoint.receive(packet));
        },
        onKeys: (masters) => keys.push(masters),
        onFailed: (reason, detail) => failures.push(`${reason}: ${detail}`),
      },
    );
    return { endpoint, counters, keys, failures, sent };
  }

  start(): this {
    this.server.endpoint.start();
    this.client.endpoint.start();
    return this;
  }

  run(ms = 9_000): this {
    this.clock.advance(ms);
    return this;
  }

  expectConnected(): void {
    expect([this.client.failures, this.server.failures]).toEqual([[], []]);
    expect([this.client.keys.length, this.server.keys.length]).toEqual([1, 1]);
    expect(this.client.keys[0]?.local).toEqual(this.server.keys[0]?.remote);
    expect(this.client.keys[0]?.remote).toEqual(this.server.keys[0]?.local);
    expect(this.client.keys[0]?.local).not.toEqual(this.client.keys[0]?.remote);
  }
}

describe("handshake", () => {
  test("both ends have the same keys, after three flights, and no timer is left", () => {
    const wire = new Wire().start().run(10);
    wire.expectConnected();
    expect([wire.client.sent.length, wire.server.sent.length]).toEqual([2, 2]);
    expect(wire.clock.pending).toBe(0);
  });

  test("any one datagram may be lost, or come twice", () => {
    for (let lost = 0; lost < 8; lost += 1) {
      for (const copies of [0, 2]) {
        let count = 0;
        const wire = new Wire((datagram) => {
          count += 1;
          return count - 1 === lost ? Array.from({ length: copies }, () => datagram) : [datagram];
        });
        wire.start().run().expectConnected();
      }
    }
  });

  test("connects through loss, duplication and disorder of a third of all datagrams", () => {
    for (let seed = 0; seed < 40; seed += 1) {
      const random = seededRandom(`wire ${seed}`);
      const held: Record<DtlsRole, Buffer[]> = { client: [], server: [] };
      const wire = new Wire((datagram, from) => {
        const dice = (random(1)[0] ?? 0) % 9;
        if (dice === 0) return [];
        if (dice === 1) return [datagram, datagram];
        if (dice === 2) {
          held[from].push(datagram);
          return [];
        }
        return [datagram, ...held[from].splice(0)];
      });
      wire.start().run();
      wire.expectConnected();
      expect(wire.clock.pending).toBe(0);
    }
  });

  test("gives up when nobody answers, and says so", () => {
    const wire = new Wire(() => []).start().run(10_000);
    expect(wire.client.failures).toEqual(["dtls_timeout: the handshake was not completed"]);
    expect(wire.server.failures).toEqual(["dtls_timeout: the handshake was not completed"]);
    // 0, 200, 600, 1400 ms and every second from there.
    expect(wire.client.sent.length).toBe(12);
    expect(wire.clock.pending).toBe(0);
  });

  test("a closed endpoint is silent for ever", () => {
    const wire = new Wire(() => []).start().run(300);
    wire.client.endpoint.close();
    wire.server.endpoint.close();
    const before = wire.client.sent.length;
    expect(wire.clock.pending).toBe(0);
    wire.run();
    expect([wire.client.sent.length, wire.client.failures]).toEqual([before, []]);
  });
});

describe("forgeries", () => {
  test("the wrong certificate of the server", () => {
    const wire = new Wire(undefined, { server: clientCertificate.fingerprint }).start().run();
    expect(wire.client.failures).toEqual(["fingerprint_mismatch: the certificate is not the one in the SDP"]);
    expect(wire.client.counters.dtlsWrongFingerprint).toBe(1);
    expect(wire.server.failures).toEqual(["dtls_refused: the far end sent alert 42"]);
    expect([wire.client.keys, wire.server.keys]).toEqual([[], []]);
  });

  test("the wrong certificate of the client", () => {
    const wire = new Wire(undefined, { client: serverCertificate.fingerprint }).start().run();
    expect(wire.server.failures).toEqual(["fingerprint_mismatch: the certificate is not the one in the SDP"]);
    expect(wire.client.failures).toEqual(["dtls_refused: the far end sent alert 42"]);
    expect([wire.client.keys, wire.server.keys]).toEqual([[], []]);
  });

  test.each([
    ["ServerKeyExchange", "server", 12, "client"],
    ["CertificateVerify", "client", 15, "server"],
  ] as const)("a signature of %s that was not made with the certificate", (_name, sender, type, victim) => {
    const wire = new Wire((datagram, from) => {
      if (from === sender) spoilMessage(datagram, type);
      return [datagram];
    });
    wire.start().run();
    expect(wire[victim].failures).toEqual(["dtls_refused: the signature does not fit the certificate"]);
    expect(wire[victim].counters.dtlsForgedSignature).toBe(1);
    expect([wire.client.keys, wire.server.keys]).toEqual([[], []]);
  });

  test("a hello that was changed on the way (to weaken it) is noticed", () => {
    const wire = new Wire((datagram, from) => {
      // Takes extended_master_secret (RFC 7627) out by renaming it.
      const at = from === "client" ? datagram.indexOf(hex("00170000")) : -1;
      if (at > 0) datagram.writeUInt16BE(0x4444, at);
      return [datagram];
    });
    wire.start().run();
    expect(wire.server.failures).toEqual(["dtls_refused: the signature does not fit the certificate"]);
    expect(wire.client.keys).toEqual([]);
  });

  test("alerts in the clear end nothing, neither during the handshake nor later", () => {
    const alert = hex("15fefd0000000000000009000202 28");
    const close = hex("15fefd0000000000000009000201 00");
    const wire = new Wire((datagram) => [alert, close, datagram, alert]);
    wire.start().run().expectConnected();
    const before = wire.client.counters.dtlsPlaintextAlerts;
    for (const packet of [alert, close]) wire.client.endpoint.receive(packet);
    expect(wire.client.counters.dtlsPlaintextAlerts).toBe(before + 2);
    expect(wire.client.failures).toEqual([]);
  });

  test("a hello of somebody else before the client's does not take its place", () => {
    const wire = new Wire(() => []);
    const stranger = new Wire(() => []).start();
    wire.server.endpoint.start();
    const forged = Buffer.from(stranger.client.sent[0] ?? []);
    forged.fill(0xee, 30, 50);
    wire.server.endpoint.receive(forged);
    wire.tamper = (datagram) => [datagram];
    wire.client.endpoint.start();
    wire.run().expectConnected();
  });

  test("a recorded handshake, sent again to a connected end, changes nothing", () => {
    const wire = new Wire().start().run();
    const [toServer, toClient] = [[...wire.client.sent], [...wire.server.sent]];
    for (const packet of toServer) wire.server.endpoint.receive(packet);
    for (const packet of toClient) wire.client.endpoint.receive(packet);
    wire.run().expectConnected();
    wire.client.endpoint.close();
    wire.run(10);
    expect(wire.server.failures).toEqual(["closed_by_peer: close_notify"]);
  });

  test("only what is encrypted ends the association", () => {
    const wire = new Wire().start().run();
    wire.server.endpoint.close();
    wire.run(5);
    expect(wire.client.failures).toEqual(["closed_by_peer: close_notify"]);
    expect(wire.clock.pending).toBe(0);
  });
});

/** Turns over the last byte of a plaintext message of this type: the end of its signature. */
function spoilMessage(datagram: Buffer, type: number): void {
  for (let at = 0; at + 13 <= datagram.length; ) {
    const length = datagram.readUInt16BE(at + 11);
    const isIt = datagram[at] === 22 && datagram.readUInt16BE(at + 3) === 0 && datagram[at + 13] === type;
    const last = at + 13 + length - 1;
    if (isIt) datagram[last] = (datagram[last] ?? 0) ^ 0xff;
    at += 13 + length;
  }
}

describe("against werift", () => {
  type Secrets = { verifyData(bytes: Buffer): Buffer; generateKeySignature(hash: string): Buffer };
  type Spoil = (peer: DtlsSocket) => void;

  /** Our end as `role` against werift's other, in memory and in real time (werift has no other). */
  function against(role: DtlsRole, spoil: Spoil = () => undefined, srtpProfiles: number[] = [1]) {
    const counters = newSessionCounters();
    const { promise, resolve } = Promise.withResolvers<SrtpMasters | string>();
    const [certificate, theirs] = [clientCertificate, serverCertificate];
    const timers: (() => void)[] = [];
    const clock = {
      now: () => performance.now(),
      after: (afterMs: number, task: () => void) => {
        const timer = setTimeout(task, afterMs);
        timers.push(() => clearTimeout(timer));
        return () => clearTimeout(timer);
      },
    };
    const transport = {
      type: "memory",
      address: ["", 0] as const,
      onData: (_packet: Buffer): void => undefined,
      send: async (packet: Buffer): Promise<void> => setImmediate(() => ours.receive(Buffer.from(packet))) && undefined,
      close: async (): Promise<void> => undefined,
    };
    const options = {
      transport: transport as never,
      srtpProfiles: srtpProfiles as never,
      cert: pem("CERTIFICATE", theirs.der),
      key: String(theirs.privateKey.export({ type: "pkcs8", format: "pem" })),
      signatureHash: { hash: 4, signature: 3 } as never,
      certificateRequest: true,
      extendedMasterSecret: true,
    };
    const peer = role === "client" ? new DtlsServer(options) : new DtlsClient(options);
    spoil(peer);
    const ours: DtlsEndpoint = new DtlsEndpoint(
      { role, certificate, remoteFingerprint: theirs.fingerprint, timeoutMs: 4_000 },
      {
        clock,
        counters,
        random: seededRandom("ours"),
        sendDtls: (packet) => setImmediate(() => transport.onData(packet)),
        onKeys: resolve,
        onFailed: (reason, detail) => resolve(`${reason}: ${detail}`),
      },
    );
    ours.start();
    if (peer instanceof DtlsClient) void peer.connect().catch(() => undefined);
    const stop = (): void => {
      ours.close();
      for (const cancel of timers) cancel();
      // Its repetition stops at the next step when the handshake looks done.
      peer.dtls.flight = 99;
    };
    return { outcome: promise, counters, peer, stop };
  }

  test.each(["client", "server"] as const)("connects as %s, with the same keys", async (role) => {
    const { outcome, peer, stop } = against(role);
    const masters = await outcome;
    const theirs = peer.extractSessionKeys(16, 14);
    expect(masters).toEqual({
      local: { key: theirs.remoteKey, salt: theirs.remoteSalt },
      remote: { key: theirs.localKey, salt: theirs.localSalt },
    });
    stop();
  });

  test("refuses a ServerKeyExchange that is signed with rubbish", async () => {
    const { outcome, counters, stop } = against("client", (peer) => {
      (peer.cipher as unknown as Secrets).generateKeySignature = () => Buffer.alloc(70, 7);
    });
    expect(await outcome).toBe("dtls_refused: the signature does not fit the certificate");
    expect(counters.dtlsForgedSignature).toBe(1);
    stop();
  });

  test.each(["client", "server"] as const)("as %s refuses a Finished that is rubbish", async (role) => {
    const { outcome, counters, stop } = against(role, (peer) => {
      (peer.cipher as unknown as Secrets).verifyData = () => Buffer.alloc(12, 7);
    });
    expect(await outcome).toBe("dtls_refused: Finished does not fit the handshake");
    expect(counters.dtlsForgedFinished).toBe(1);
    stop();
  });

  test("refuses a client that offers other SRTP profiles only", async () => {
    const { outcome, stop } = against("server", undefined, [7]);
    expect(await outcome).toBe("dtls_refused: the client does not offer SRTP_AES128_CM_HMAC_SHA1_80");
    stop();
  });
});

function pem(label: string, der: Buffer): string {
  return `-----BEGIN ${label}-----\n${der.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END ${label}-----\n`;
}

describe("reassembly", () => {
  const message = { type: 11, seq: 0, body: seededRandom("certificate")(3_000) };

  test("puts fragments together in any order, overlapping and repeated", () => {
    const fragments = [...fragmentsOf(message, 700), ...fragmentsOf(message, 1_100)].reverse();
    const reassembly = new Reassembly();
    expect(reassembly.take(Buffer.concat(fragments.slice(0, 2)))).toBe("kept");
    expect(reassembly.next()).toBeUndefined();
    for (const fragment of fragments.slice(2)) reassembly.take(fragment);
    expect(reassembly.next()).toEqual(message);
    expect(reassembly.take(fragments[0] ?? Buffer.alloc(0))).toBe("stale");
    expect(reassembly.next()).toBeUndefined();
  });

  test.each([
    ["a message of 16 MB", "0bffffff 0000 000000 000000"],
    ["a fragment beyond its message", "0b000004 0000 000003 000002 0000"],
    ["a fragment longer than its record", "0b000004 0000 000000 000004 0000"],
    ["a message far ahead", "0b000000 0008 000000 000000"],
  ])("refuses %s without keeping anything", (_name, bytes) => {
    expect(new Reassembly().take(hex(bytes))).toBe("malformed");
  });
});

test("3000 mutated datagrams before, during and after a handshake: nothing is thrown, and no keys are wrong", () => {
  const random = seededRandom("dtls garbage");
  for (let round = 0; round < 60; round += 1) {
    const wire = new Wire((datagram) => [datagram, mutate(datagram, random), mutate(datagram, random)]);
    wire.start().run(11_000);
    const [client, server] = [wire.client.keys[0], wire.server.keys[0]];
    if (client && server) expect(client.local).toEqual(server.remote);
    expect(wire.client.failures.length + wire.client.keys.length).toBeGreaterThan(0);
  }
  const wire = new Wire().start().run();
  const seen = [...wire.client.sent, ...wire.server.sent];
  for (let n = 0; n < 3_000; n += 1) {
    wire.client.endpoint.receive(mutate(seen[n % seen.length] ?? Buffer.alloc(0), random));
    wire.server.endpoint.receive(mutate(seen[n % seen.length] ?? Buffer.alloc(0), random));
  }
  wire.run().expectConnected();
  expect(wire.client.counters.dtlsMalformed).toBeGreaterThan(100);
});

test("a certificate is X.509 that others read, with the fingerprint of its bytes", async () => {
  const { X509Certificate } = await import("node:crypto");
  const parsed = new X509Certificate(serverCertificate.der);
  expect(parsed.fingerprint256).toBe(serverCertificate.fingerprint.value);
  expect(parsed.verify(parsed.publicKey)).toBe(true);
  expect(parsed.subject).toBe("CN=ponte");
  expect(parsed.validToDate.getTime() - parsed.validFromDate.getTime()).toBe(366 * 86_400_000);
  expect(parsed.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: "prime256v1" });
});
