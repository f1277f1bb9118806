import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { afterEach, expect, test } from "vitest";
import type { SecureSession } from "#media/transport/contract.ts";
import { PublicPort } from "#media/transport/public-port.ts";
import { buildStun } from "#media/transport/stun.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { mutate, seededRandom } from "#test/unit/media/transport/support.ts";
import { Middleman, remoteOf, rtpPacket, Witness } from "./transport-support.ts";

const ports: PublicPort[] = [];
const sockets: Socket[] = [];
const middlemen: Middleman[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.close();
  for (const middleman of middlemen.splice(0)) middleman.stop();
  await Promise.all(ports.splice(0).map((port) => port.stop()));
});

async function openPort(bind: { bind4?: string; bind6?: string } = { bind4: "127.0.0.1" }): Promise<PublicPort> {
  const port = new PublicPort({ port: 0, ...bind });
  ports.push(port);
  await port.start();
  return port;
}

async function openSocket(): Promise<Socket> {
  const socket = createSocket("udp4");
  sockets.push(socket);
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return socket;
}

interface End {
  readonly session: SecureSession;
  readonly witness: Witness;
}

/** ponte's end, and a relay's; `via` is where ours finds the relay, when not directly. */
async function connectPair(ours: PublicPort, relay: PublicPort, via = relay.port): Promise<{ us: End; them: End }> {
  const [ourWitness, theirWitness] = [new Witness(), new Witness()];
  const us = ours.open({ mode: "full", events: ourWitness });
  const them = relay.open({ mode: "lite", events: theirWitness });
  them.connect(remoteOf(us.local, "active"), "server");
  const candidates = them.local.candidates.map((candidate) => ({ ...candidate, port: via }));
  us.connect({ ...remoteOf(them.local, "passive"), candidates }, "client");
  await Promise.all([ourWitness.connected, theirWitness.connected]);
  return { us: { session: us, witness: ourWitness }, them: { session: them, witness: theirWitness } };
}

async function openMiddleman(relay: PublicPort): Promise<{ middleman: Middleman; via: number }> {
  const middleman = new Middleman(relay.port);
  middlemen.push(middleman);
  return { middleman, via: await middleman.start() };
}

async function expectBothWays(us: End, them: End, from = 1, count = 20): Promise<void> {
  const [before, beforeThem] = [us.witness.rtp.length, them.witness.rtp.length];
  for (let n = 0; n < count; n += 1) {
    expect(us.session.sendRtp(rtpPacket(from + n))).toBe(true);
    expect(them.session.sendRtp(rtpPacket(from + n, 7))).toBe(true);
  }
  await Promise.all([us.witness.heard(before + count), them.witness.heard(beforeThem + count)]);
  expect(us.witness.rtp.at(-1)).toEqual(rtpPacket(from + count - 1, 7));
  expect(them.witness.rtp.at(-1)).toEqual(rtpPacket(from + count - 1));
}

test("a full agent and a lite one connect, talk both ways, and part with a goodbye", async () => {
  const { us, them } = await connectPair(await openPort(), await openPort());
  expect(us.witness.told).toEqual(["ice", "connected"]);
  await expectBothWays(us, them);
  const report = Buffer.from("80c80006706f6e74000000000000000000000000000000010000000200000003", "hex").subarray(0, 28);
  us.session.sendRtcp(report);
  us.session.close();
  expect(await them.witness.failed).toEqual({ reason: "closed_by_peer", detail: "close_notify" });
  expect(them.witness.rtcp).toEqual([report]);
  expect(us.session.sendRtp(rtpPacket(99))).toBe(false);
  expect(us.witness.told).toEqual(["ice", "connected"]);
});

test("connects over IPv6, and over IPv4 when the IPv6 candidate of the relay leads nowhere", async () => {
  const [ours6, relay6] = [await openPort({ bind6: "::1" }), await openPort({ bind6: "::1" })];
  const six = await connectPair(ours6, relay6);
  expect(six.us.session.remoteAddress?.address).toBe("::1");
  const [ours, relay] = [await openPort({ bind4: "127.0.0.1", bind6: "::1" }), await openPort()];
  const [ourWitness, theirWitness] = [new Witness(), new Witness()];
  const us = ours.open({ mode: "full", events: ourWitness });
  const them = relay.open({ mode: "lite", events: theirWitness });
  const dead = { foundation: "9", component: 1, priority: 2 ** 31 - 1, port: 9, type: "host" as const };
  const candidates = [{ ...dead, address: "2001:db8::1" }, ...them.local.candidates];
  them.connect(remoteOf(us.local, "active"), "server");
  us.connect({ ...remoteOf(them.local, "passive"), candidates }, "client");
  await Promise.all([ourWitness.connected, theirWitness.connected]);
  expect(us.remoteAddress).toEqual({ address: "127.0.0.1", port: relay.port });
});

test.each(["client", "server"] as const)("two full agents connect when both want to control; DTLS %s", async (role) => {
  const [a, b] = [await openPort(), await openPort()];
  const [witnessA, witnessB] = [new Witness(), new Witness()];
  const sessionA = a.open({ mode: "full", events: witnessA });
  const sessionB = b.open({ mode: "full", events: witnessB });
  sessionA.connect(remoteOf(sessionB.local, "actpass"), role);
  sessionB.connect(remoteOf(sessionA.local, "actpass"), role === "client" ? "server" : "client");
  await Promise.all([witnessA.connected, witnessB.connected]);
  expect(sessionA.counters().roleConflicts + sessionB.counters().roleConflicts).toBeGreaterThan(0);
  await expectBothWays({ session: sessionA, witness: witnessA }, { session: sessionB, witness: witnessB });
});

test("two full agents that are both controlled at first find their roles", async () => {
  const [a, b] = [await openPort(), await openPort()];
  const [witnessA, witnessB] = [new Witness(), new Witness()];
  const sessionA = a.open({ mode: "full", events: witnessA, iceRole: "controlled" });
  const sessionB = b.open({ mode: "full", events: witnessB, iceRole: "controlled" });
  sessionA.connect(remoteOf(sessionB.local, "actpass"), "client");
  sessionB.connect(remoteOf(sessionA.local, "actpass"), "server");
  await Promise.all([witnessA.connected, witnessB.connected]);
});

test("the relay needs no candidates of ours, and works as DTLS client too", async () => {
  const [ours, relay] = [await openPort(), await openPort()];
  const [ourWitness, theirWitness] = [new Witness(), new Witness()];
  const us = ours.open({ mode: "full", events: ourWitness });
  const them = relay.open({ mode: "lite", events: theirWitness });
  them.connect({ ...remoteOf(us.local, "passive"), candidates: [] }, "client");
  us.connect(remoteOf(them.local, "active"), "server");
  await Promise.all([ourWitness.connected, theirWitness.connected]);
});

test("checks that come before the far end's description are remembered", async () => {
  const [ours, relay] = [await openPort(), await openPort()];
  const [ourWitness, theirWitness] = [new Witness(), new Witness()];
  const us = ours.open({ mode: "full", events: ourWitness });
  const them = relay.open({ mode: "lite", events: theirWitness });
  us.connect(remoteOf(them.local, "passive"), "client");
  while (us.counters().stunIn < 2) await new Promise((resolve) => setImmediate(resolve));
  them.connect(remoteOf(us.local, "active"), "server");
  await Promise.all([ourWitness.connected, theirWitness.connected]);
});

test("twelve calls to one relay address share nothing: each gets a port of its own", async () => {
  const [ours, relay] = [await openPort(), await openPort()];
  for (let round = 0; round < 2; round += 1) {
    const calls = await Promise.all(Array.from({ length: 12 }, () => connectPair(ours, relay)));
    await Promise.all(calls.map(({ us, them }, n) => expectBothWays(us, them, 100 * n)));
    const seen = new Set(calls.map(({ them }) => them.session.remoteAddress?.port));
    expect(seen.size).toBe(12);
    expect(relay.counters()).toMatchObject({ srtpForged: 0, strangerPackets: 0, unknownUfrag: 0 });
    for (const { us, them } of calls) {
      us.session.close();
      them.session.close();
    }
    expect(ours.counters().sessions).toBe(0);
  }
});

test("a session whose far end is known when it is opened announces the port that it will use", async () => {
  const [ours, relay] = [await openPort(), await openPort()];
  await connectPair(ours, relay);
  const [ourWitness, theirWitness] = [new Witness(), new Witness()];
  const them = relay.open({ mode: "lite", events: theirWitness });
  const remote = remoteOf(them.local, "passive");
  const us = ours.open({ mode: "full", events: ourWitness, remote });
  expect(us.local.candidates[0]?.port).not.toBe(ours.port);
  them.connect(remoteOf(us.local, "active"), "server");
  us.connect(remote, "client");
  await Promise.all([ourWitness.connected, theirWitness.connected]);
  expect(them.remoteAddress?.port).toBe(us.local.candidates[0]?.port);
});

test("a wrong fingerprint is refused on the side that sees it, and the other side learns that it was refused", async () => {
  const [ours, relay] = [await openPort(), await openPort()];
  const [ourWitness, theirWitness] = [new Witness(), new Witness()];
  const us = ours.open({ mode: "full", events: ourWitness });
  const them = relay.open({ mode: "lite", events: theirWitness });
  const fingerprint = { algorithm: "sha-256", value: us.local.fingerprint.value };
  them.connect(remoteOf(us.local, "active"), "server");
  us.connect({ ...remoteOf(them.local, "passive"), fingerprint }, "client");
  expect((await ourWitness.failed).reason).toBe("fingerprint_mismatch");
  expect((await theirWitness.failed).reason).toBe("dtls_refused");
  expect(us.counters().dtlsWrongFingerprint).toBe(1);
  expect([...ourWitness.told, ...theirWitness.told]).not.toContain("connected");
});

test("strangers disturb nothing, get no answer and are counted", async () => {
  const [ours, relay] = [await openPort(), await openPort()];
  const { us, them } = await connectPair(ours, relay);
  const stranger = await openSocket();
  let answers = 0;
  stranger.on("message", () => {
    answers += 1;
  });
  const username = `${us.session.local.ufrag}:${them.session.local.ufrag}`;
  const check = {
    class: "request",
    transactionId: "00".repeat(12),
    username,
    useCandidate: true,
    priority: 1,
  } as const;
  const hostile = [
    buildStun(check, undefined),
    buildStun(check, "not the password"),
    buildStun({ ...check, username: `${us.session.local.ufrag}:other` }, us.session.local.pwd),
    buildStun({ ...check, username: "nobody:x" }, us.session.local.pwd),
    buildStun({ class: "success", transactionId: "00".repeat(12) }, us.session.local.pwd),
    Buffer.from("15fefd00000000000000000002020a", "hex"),
    Buffer.from("15fefd000000000000000000020100", "hex"),
    rtpPacket(1),
    Buffer.from("ff00", "hex"),
  ];
  const before = ours.counters();
  for (const packet of hostile) {
    stranger.send(packet, ours.port, "127.0.0.1");
  }
  await expectBothWays(us, them);
  const after = ours.counters();
  expect(after.stunUnsigned - before.stunUnsigned).toBe(1);
  expect(after.stunForged - before.stunForged).toBe(2);
  expect(after.unknownUfrag - before.unknownUfrag).toBe(1);
  expect(after.stunUnexpected - before.stunUnexpected).toBe(1);
  expect(after.unknownSource - before.unknownSource).toBe(3);
  expect(after.unknownPackets - before.unknownPackets).toBe(1);
  expect(us.session.remoteAddress?.port).toBe(relay.port);
  expect(answers).toBe(0);
});

test("10 000 mutated packets, from a stranger and from the far end's own address, leave the call as it is", async () => {
  const random = seededRandom("transport garbage");
  const [ours, relay] = [await openPort(), await openPort()];
  const { middleman, via } = await openMiddleman(relay);
  const { us, them } = await connectPair(ours, relay, via);
  const stranger = await openSocket();
  const { ufrag, pwd } = us.session.local;
  const seeds = [
    buildStun({ class: "request", transactionId: "11".repeat(12), username: `${ufrag}:x` }, pwd),
    buildStun({ class: "success", transactionId: "22".repeat(12), mappedAddress: { address: "::1", port: 1 } }, "p"),
    Buffer.from("15fefd00000000000000000002020a", "hex"),
    Buffer.from(`16fefd0000000000000007002c010000200000000000000020fefd${"00".repeat(30)}`, "hex"),
    Buffer.from(`17fefd00010000000000070020${"5a".repeat(32)}`, "hex"),
    Buffer.concat([rtpPacket(7), Buffer.alloc(10)]),
    Buffer.from(`80c80006706f6e74${"00".repeat(34)}`, "hex"),
  ];
  let sent = 0;
  for (let n = 0; n < 10_000; n += 1) {
    const packet = mutate(seeds[n % seeds.length] ?? Buffer.alloc(0), random);
    sent += 1;
    // Every other one has the address that our end validated.
    if (n % 2 === 0) await new Promise<void>((done) => stranger.send(packet, ours.port, "127.0.0.1", () => done()));
    else await middleman.sendAsRelay(packet);
    if (n % 2_500 === 0) await expectBothWays(us, them, n + 1, 2);
  }
  expect(sent).toBe(10_000);
  await expectBothWays(us, them, 20_000);
  expect(us.witness.told).toEqual(["ice", "connected"]);
  const counted = ours.counters();
  for (const name of ["stunMalformed", "unknownSource", "unknownPackets", "dtlsMalformed", "srtpForged"] as const) {
    expect(counted[name], name).toBeGreaterThan(0);
  }
});

test("what was recorded on the way is not believed twice: media, a check from elsewhere, an alert in the clear", async () => {
  const [ours, relay] = [await openPort(), await openPort()];
  const { middleman, via } = await openMiddleman(relay);
  const { us, them } = await connectPair(ours, relay, via);
  them.session.sendRtp(rtpPacket(1, 7));
  await us.witness.heard(1);
  const media = middleman.fromRelay.at(-1) ?? Buffer.alloc(0);
  for (let n = 0; n < 5; n += 1) await middleman.sendAsRelay(media);
  // Alerts and a hello that a guard has to drop: they carry the right address, and no proof.
  await middleman.sendAsRelay(Buffer.from("15fefd00000000000000000002020a", "hex"));
  await middleman.sendAsRelay(Buffer.from("15fefd000000000000000000020100", "hex"));
  for (const packet of middleman.fromUs.filter((each) => each[0] === 22)) await middleman.sendAsUs(packet);
  // A check with USE-CANDIDATE, recorded and sent again from elsewhere, must not turn the relay's media round.
  const check = middleman.fromUs.findLast((each) => (each[0] ?? 255) < 4) ?? Buffer.alloc(0);
  const stranger = await openSocket();
  await new Promise<void>((done) => stranger.send(check, relay.port, "127.0.0.1", () => done()));
  await expectBothWays(us, them, 10);
  expect(us.witness.rtp).toHaveLength(21);
  expect(us.session.counters()).toMatchObject({ srtpReplayed: 5, dtlsPlaintextAlerts: 2 });
  expect(them.session.counters()).toMatchObject({ stunForged: 1 });
  expect([...us.witness.told, ...them.witness.told]).toEqual(["ice", "connected", "ice", "connected"]);
});

test("a ServerKeyExchange that was changed on the way ends the handshake, and no media keys come of it", async () => {
  const [ours, relay] = [await openPort(), await openPort()];
  const { middleman, via } = await openMiddleman(relay);
  middleman.tamper = (packet, sender) => {
    // The relay's flight of five messages; what is turned over lies in the signature or the key that it covers.
    const changed = Buffer.from(packet);
    const at = sender === "relay" && packet[0] === 22 ? changed.indexOf(Buffer.from([12, 0, 0])) : -1;
    const end = at < 0 ? -1 : at + 11 + changed.readUIntBE(at + 1, 3);
    if (end > 0) changed[end] = (changed[end] ?? 0) ^ 0xff;
    return changed;
  };
  const [ourWitness, theirWitness] = [new Witness(), new Witness()];
  const us = ours.open({ mode: "full", events: ourWitness });
  const them = relay.open({ mode: "lite", events: theirWitness });
  them.connect(remoteOf(us.local, "active"), "server");
  const candidates = them.local.candidates.map((candidate) => ({ ...candidate, port: via }));
  us.connect({ ...remoteOf(them.local, "passive"), candidates }, "client");
  expect((await ourWitness.failed).reason).toBe("dtls_refused");
  expect(us.counters().dtlsForgedSignature).toBe(1);
  expect((await theirWitness.failed).reason).toBe("dtls_refused");
  expect([...ourWitness.told, ...theirWitness.told]).not.toContain("connected");
});

test("an exception while a packet or a timer is handled ends its own call, is reported, and the other calls go on", async () => {
  const bugs: unknown[] = [];
  const ours = new PublicPort({ port: 0, bind4: "127.0.0.1", onBug: (error) => bugs.push(error) });
  ports.push(ours);
  await ours.start();
  const relay = await openPort();
  const [one, other] = [await connectPair(ours, relay), await connectPair(ours, relay)];
  one.us.witness.onRtp = () => {
    throw new Error("a bug");
  };
  one.them.session.sendRtp(rtpPacket(1, 7));
  expect(await one.us.witness.failed).toMatchObject({ reason: "bug", detail: expect.stringContaining("a bug") });
  await expectBothWays(other.us, other.them);
  expect([bugs.map(String), ours.counters().bugs, ours.counters().sessions]).toEqual([["Error: a bug"], 1, 1]);

  const clock = new FakeClock();
  const timed = new PublicPort({ port: 0, bind4: "127.0.0.1", clock, onBug: (error) => bugs.push(error) });
  ports.push(timed);
  await timed.start();
  const witness = new Witness();
  let failures = 0;
  witness.onFailed = () => {
    failures += 1;
    if (failures === 1) throw new Error("another bug");
  };
  const session = timed.open({ mode: "full", events: witness });
  session.connect(remoteOf(relay.open({ mode: "lite", events: new Witness() }).local, "passive"), "client");
  clock.advance(60_000);
  expect(bugs.map(String)).toEqual(["Error: a bug", "Error: another bug"]);
  expect(clock.pending).toBe(0);
});

test("survives an outage of 210 packets over the sequence wrap", async () => {
  const [ours, relay] = [await openPort(), await openPort()];
  const { middleman, via } = await openMiddleman(relay);
  const { us, them } = await connectPair(ours, relay, via);
  await expectBothWays(us, them, 65_400, 10);
  middleman.tamper = () => undefined;
  const swallowed = middleman.fromUs.length + middleman.fromRelay.length + 420;
  for (let n = 0; n < 210; n += 1) {
    us.session.sendRtp(rtpPacket(65_410 + n));
    them.session.sendRtp(rtpPacket(65_410 + n, 7));
  }
  // Until the middleman has swallowed them all, on both sides.
  while (middleman.fromUs.length + middleman.fromRelay.length < swallowed)
    await new Promise((next) => setImmediate(next));
  middleman.tamper = (packet) => packet;
  await expectBothWays(us, them, 65_410 + 210, 50);
});

test("a port that is taken is an error at the start", async () => {
  const first = await openPort();
  const second = new PublicPort({ port: first.port, bind4: "127.0.0.1" });
  await expect(second.start()).rejects.toThrow("EADDRINUSE");
  await second.stop();
});

test("announces the public address of a 1:1 NAT with the bound port", async () => {
  const port = new PublicPort({ port: 0, bind4: "127.0.0.1", announced: ["203.0.113.10"] });
  ports.push(port);
  await port.start();
  const { local } = port.open({ mode: "full", events: new Witness() });
  expect(local.candidates).toEqual([
    { foundation: "1", component: 1, priority: 2_130_706_431, address: "203.0.113.10", port: port.port, type: "host" },
  ]);
});
