import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Bench, type Msg, type Reply, response, SDP, type Srf } from "./support/bench.ts";

let bench: Bench;
let srf: Srf;
const calls: { req: Msg; res: Reply }[] = [];
beforeEach(async () => {
  calls.length = 0;
  bench = await Bench.start();
  srf = await bench.app((app) => {
    app.invite((req, res) => void calls.push({ req, res }));
    app.use("options", (_, res) => res.send(200));
  });
});
afterEach(() => bench.stop());

test("a call in over TCP: BYE of ours uses the peer's connection, and Contact says TCP", async () => {
  const peer = await bench.tcpPeer(true);
  const invite = peer.request("INVITE", `sip:600@127.0.0.1:${bench.tcp};transport=tcp`, { body: SDP });
  await peer.next(100);
  await bench.settle(() => calls.length === 1);
  const { req, res } = calls[0] as { req: Msg; res: Reply };
  const dialog = await srf.createUAS(req, res, { localSdp: SDP });
  const answer = await peer.next(200);
  expect(answer.contact()).toBe(`sip:127.0.0.1:${bench.tcp};transport=tcp`);
  peer.ack(invite, answer);
  await bench.settle(() => bench.agent.counters().pending === 0);
  const ended = dialog.destroy();
  const bye = await peer.next("BYE");
  expect(bye.get("Via")).toContain("SIP/2.0/TCP");
  peer.reply(bye, 200);
  await ended;
  expect(peer.connections).toBe(1);
});

test("calls out over TCP share one connection; nothing is repeated", async () => {
  const peer = await bench.tcpPeer(false);
  const uri = `sip:600@${peer.host};transport=tcp`;
  for (let i = 0; i < 2; i++) {
    const placed = srf.createUAC(uri, { localSdp: SDP, callingNumber: "49" });
    const invite = await peer.next("INVITE");
    expect(invite.get("Contact")).toBe(`<sip:49@127.0.0.1:${bench.tcp};transport=tcp>`);
    bench.clock.advance(4_000);
    peer.reply(invite, 200, { body: SDP });
    const dialog = await placed;
    await peer.next("ACK");
    const ended = dialog.destroy();
    peer.reply(await peer.next("BYE"), 200);
    await ended;
  }
  expect(peer.connections).toBe(1);
  expect(peer.count("INVITE")).toBe(2);
  expect(bench.agent.counters().connections).toBe(1);
});

test("a closed port ends in 503 at once", async () => {
  const peer = await bench.tcpPeer(false);
  const { port } = peer;
  await peer.close();
  await expect(srf.createUAC(`sip:600@127.0.0.1:${port};transport=tcp`, { localSdp: SDP })).rejects.toMatchObject({
    status: 503,
  });
});

test("a connection that breaks before the answer ends in 503", async () => {
  const peer = await bench.tcpPeer(false);
  const sent = new Promise<Msg>((done) => {
    srf.request(
      `sip:${peer.host};transport=tcp`,
      { method: "OPTIONS" },
      (_, request) => void response(request).then(done),
    );
  });
  await peer.next("OPTIONS");
  peer.drop();
  bench.clock.advance(32_000);
  expect([408, 503]).toContain((await sent).status);
});

test("a stream is read whatever its pieces: byte by byte, two in one, bodies cut in the middle", async () => {
  const peer = await bench.tcpPeer(true);
  const one =
    "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKA\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nContent-Type: a/b\r\nl: 6\r\n\r\nhéllo";
  const two = one.replaceAll("z9hG4bKA", "z9hG4bKB").replace("Call-ID: x", "Call-ID: y");
  for (const byte of Buffer.from(one)) peer.write(Buffer.from([byte]) as unknown as string);
  await peer.next(200);
  const three = one.replaceAll("z9hG4bKA", "z9hG4bKC").replace("Call-ID: x", "Call-ID: z");
  peer.write(`\r\n${two}${three.slice(0, 300)}`);
  await peer.next(200);
  peer.write(three.slice(300));
  await peer.next(200);
});

test("a double CRLF is answered with CRLF, a single one is not", async () => {
  const socket = connect(bench.tcp, "127.0.0.1");
  await once(socket, "connect");
  socket.write("\r\n");
  socket.write("\r\n\r\n");
  const [pong] = (await once(socket, "data")) as [Buffer];
  expect(pong.toString()).toBe("\r\n");
  socket.destroy();
});

test.each([
  ["a head without end", "X".repeat(70_000)],
  ["a body beyond the limit", "OPTIONS sip:a SIP/2.0\r\nContent-Length: 999999\r\n\r\n"],
  ["a length that is none", "OPTIONS sip:a SIP/2.0\r\nContent-Length: -1\r\n\r\n"],
])("%s closes the connection", async (_, bytes) => {
  const socket = connect(bench.tcp, "127.0.0.1");
  await once(socket, "connect");
  socket.on("error", () => undefined);
  socket.write(bytes);
  await new Promise((closed) => socket.on("close", closed));
  expect(bench.agent.counters().streams_overflowed).toBe(1);
});

test("connections of strangers are dropped", async () => {
  await bench.stop();
  bench = await Bench.start({ peers: ["10.0.0.9"] });
  const socket = connect(bench.tcp, "127.0.0.1");
  socket.on("error", () => undefined);
  await new Promise((closed) => socket.on("close", closed));
  expect(bench.agent.counters().strangers_dropped).toBe(1);
});

test("too many connections are refused", async () => {
  await bench.stop();
  bench = await Bench.start({ limits: { maxConnections: 1 } });
  await bench.tcpPeer(true);
  await bench.settle(() => bench.agent.counters().connections === 1);
  const socket = connect(bench.tcp, "127.0.0.1");
  socket.on("error", () => undefined);
  await new Promise((closed) => socket.on("close", closed));
  expect(bench.agent.counters().connections_refused).toBe(1);
});

test("IPv6: a call over ::1", async () => {
  await bench.stop();
  bench = await Bench.start({ udp: [{ host: "::1", port: 0 }], tcp: [{ host: "::1", port: 0 }], peers: ["::1"] });
  srf = await bench.app((app) => app.use("options", (_, res) => res.send(200)));
  const other = await Bench.start({ udp: [{ host: "::1", port: 0 }], tcp: [], peers: ["::/64"] });
  const far = await other.app((app) =>
    app.use("options", (req, res) => res.send(200, { headers: { Subject: req.get("Via") } })),
  );
  const answer = await new Promise<Msg>((done) => {
    srf.request(`sip:[::1]:${other.udp}`, { method: "OPTIONS" }, (_, request) => void response(request).then(done));
  });
  expect(answer.status).toBe(200);
  expect(answer.get("Subject")).toContain(`SIP/2.0/UDP [::1]:${bench.udp}`);
  other.disconnect(far);
  await other.stop();
});
