import { afterEach, beforeEach, expect, test } from "vitest";
import { Bench, type Msg, type Reply, SDP, type Srf } from "./support/bench.ts";
import { Message, type UdpPeer } from "./support/peer.ts";

let bench: Bench;
let peer: UdpPeer;
let srf: Srf;
const errors: unknown[] = [];

beforeEach(async () => {
  errors.length = 0;
  const ignore = (): void => undefined;
  bench = await Bench.start({
    limits: { maxTransactions: 300 },
    log: { debug: ignore, info: ignore, warn: ignore, error: (fields) => void errors.push(fields) },
  });
  peer = await bench.udpPeer();
  srf = await bench.app((app) => {
    app.invite((_, res) => res.send(486));
    for (const method of ["options", "message", "info"]) app.use(method, (_: Msg, res: Reply) => res.send(200));
  });
});
afterEach(() => bench.stop());

/** Numbers from 0 to 2³²−1 that are the same in every run (xorshift32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

function samples(): string[] {
  const held: string[] = [];
  const write = peer.write.bind(peer);
  peer.write = (text) => void held.push(String(text));
  const uri = `sip:600@127.0.0.1:${bench.udp}`;
  const invite = peer.request("INVITE", uri, { body: SDP, extra: ["Record-Route: <sip:10.0.0.1;lr>, <sip:10.0.0.2>"] });
  for (const method of ["OPTIONS", "MESSAGE", "REGISTER", "SUBSCRIBE"]) peer.request(method, uri, { body: "x" });
  for (const method of ["BYE", "UPDATE", "PRACK", "INFO"]) peer.request(method, uri, { to: `<${uri}>;tag=1` });
  peer.cancel(invite);
  peer.ack(invite, new Message(`SIP/2.0 486 x\r\nTo: <${uri}>;tag=2\r\n\r\n`), invite.branch);
  peer.reply(invite, 200, { body: SDP });
  peer.reply(invite, 401, { extra: ['WWW-Authenticate: Digest realm="x", nonce="y"'] });
  peer.write = write;
  return held;
}

const SPICE = [
  "\r\n",
  "\n",
  "\0",
  ":",
  ";",
  ",",
  "<",
  ">",
  '"',
  "\\",
  "@",
  "[",
  "]",
  "%",
  "=",
  "SIP/2.0",
  "é",
  "99999999999",
  "-1",
  " ",
  "\t",
];

function mutate(text: string, next: () => number): Buffer {
  const bytes = Buffer.from(text);
  let changed: Buffer = bytes;
  for (let count = 1 + (next() % 6); count > 0; count--) {
    const at = next() % (changed.length + 1);
    const length = next() % 12;
    const spice = Buffer.from(SPICE[next() % SPICE.length] ?? "");
    switch (next() % 5) {
      case 0:
        changed = Buffer.concat([changed.subarray(0, at), spice, changed.subarray(at)]);
        break;
      case 1:
        changed = Buffer.concat([changed.subarray(0, at), changed.subarray(at + length)]);
        break;
      case 2:
        changed = Buffer.concat([changed.subarray(0, at), Buffer.from([next() & 255]), changed.subarray(at + 1)]);
        break;
      case 3:
        changed = Buffer.concat([changed, changed.subarray(at, at + length)]);
        break;
      default:
        changed = changed.subarray(0, at);
    }
  }
  return changed;
}

test("10 000 mutated messages: no error, bounded state, and a call afterwards", async () => {
  const next = seeded(0x5eed);
  const texts = samples();
  for (let i = 0; i < 10_000; i++) {
    peer.write(mutate(texts[next() % texts.length] ?? "", next) as unknown as string);
    // A pause now and then, or the kernel drops most of them.
    if (i % 40 === 39) await new Promise((later) => setImmediate(later));
    if (i % 1000 === 999) bench.clock.advance(64_000);
    expect(bench.agent.counters().transactions).toBeLessThanOrEqual(300);
  }
  await bench.settle(() => bench.agent.counters().messages_received > 5_000);
  expect(errors).toEqual([]);
  expect(bench.agent.counters().messages_malformed).toBeGreaterThan(1_000);

  // What the application still answers gets its own time to be forgotten.
  await bench.settle(() => {
    bench.clock.advance(700_000);
    return bench.agent.counters().transactions === 0;
  });
  expect(bench.agent.counters()).toMatchObject({ dialogs: 0, pending: 0 });
  const fresh = await bench.udpPeer();
  fresh.request("OPTIONS", `sip:127.0.0.1:${bench.udp}`);
  await fresh.next(200);
  expect(srf._app.client.mapServer.size).toBe(1);
});

test("a flood of INVITEs with different branches: bounded, 503 beyond, and room again afterwards", async () => {
  for (let i = 0; i < 2_000; i++) {
    peer.request("INVITE", `sip:600@127.0.0.1:${bench.udp}`, { body: SDP });
    if (i % 40 === 39) await new Promise((later) => setImmediate(later));
    expect(bench.agent.counters().transactions).toBeLessThanOrEqual(300);
  }
  const refused = await peer.next(503);
  expect(refused.get("Retry-After")).toMatch(/^\d+$/);
  await bench.settle(() => bench.agent.counters().pending === 0);
  bench.clock.advance(64_000);
  expect(bench.agent.counters()).toMatchObject({ transactions: 0, dialogs: 0 });
  peer.request("OPTIONS", `sip:127.0.0.1:${bench.udp}`);
  await peer.next((message) => message.status === 200);
});

test("responses and ACKs that match nothing are counted and not answered", async () => {
  const other = await bench.udpPeer();
  const invite = other.request("OPTIONS", `sip:127.0.0.1:${bench.udp}`);
  await other.next(200);
  const before = other.log.length;
  other.reply(invite, 200);
  other.request("ACK", `sip:127.0.0.1:${bench.udp}`, { to: "<sip:x@y>;tag=2" });
  await bench.settle(
    () => bench.agent.counters().responses_unmatched === 1 && bench.agent.counters().acks_unmatched === 1,
  );
  expect(other.log.length).toBe(before);
});

test("a stranger's requests are dropped without an answer", async () => {
  await bench.stop();
  bench = await Bench.start({ peers: ["192.0.2.1", "2001:db8::/32"] });
  const stranger = await bench.udpPeer();
  stranger.request("OPTIONS", `sip:127.0.0.1:${bench.udp}`);
  stranger.write(
    "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\nFrom: <\r\nTo: y\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\r\n",
  );
  await bench.settle(() => bench.agent.counters().messages_received === 2);
  expect(bench.agent.counters()).toMatchObject({ strangers_dropped: 2, messages_malformed: 0, transactions: 0 });
  expect(stranger.log).toHaveLength(0);
});

test("a stranger becomes a peer while the agent runs, and a peer a stranger", async () => {
  bench.agent.setPeers([]);
  peer.request("OPTIONS", `sip:127.0.0.1:${bench.udp}`);
  await bench.settle(() => bench.agent.counters().strangers_dropped === 1);
  bench.agent.setPeers(["127.0.0.0/8"]);
  peer.request("OPTIONS", `sip:127.0.0.1:${bench.udp}`);
  await peer.next(200);
  expect(() => bench.agent.setPeers(["pbx.example"])).toThrow("pbx.example");
  peer.request("OPTIONS", `sip:127.0.0.1:${bench.udp}`);
  await bench.settle(() => bench.agent.counters().messages_received === 3);
  expect(bench.agent.counters().strangers_dropped, "a bad list changes nothing").toBe(1);
});
