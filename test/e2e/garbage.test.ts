import { randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { createConnection } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildStun } from "#media/transport/stun.ts";
import type { UserCall } from "#sandbox/phone/user-call.ts";
import { buildRtp } from "#sandbox/relay/rtp.ts";
import { readTransport } from "#test/protocol/media/transport-support.ts";
import { AttackedRelay } from "#test/support/attacked-relay.ts";
import { expectTone } from "#test/support/audio.ts";
import { sdpFixture } from "#test/support/fixtures/sdp/read.ts";
import {
  body,
  callsChange,
  connect,
  contact,
  sign,
  terminate,
  webhook,
} from "#test/support/fixtures/webhooks/webhooks.ts";
import { freePort } from "#test/support/free-port.ts";
import { eventually, TestWorld } from "#test/support/world.ts";
import { mutate, seededRandom } from "#test/unit/media/transport/support.ts";

/** 10 000 pieces, spread over everything that listens. */
const COUNTS = {
  signedWebhooks: 1_300,
  unsignedWebhooks: 900,
  sdpWebhooks: 700,
  placedCalls: 100,
  sipDatagrams: 2_000,
  sipStreams: 200,
  publicFromStranger: 1_600,
  publicFromRelay: 1_600,
  sipMedia: 1_600,
} as const;
/** HTTP requests under way at once. */
const AT_ONCE = 16;
/** Datagrams between two turns of the event loop: the kernel's buffer of a socket holds some hundred. */
const BURST = 20;
/** Of the heap, apart from the log that the test collects; the simulated Meta alone remembers 20 000 entries. */
const MOST_GROWTH_BYTES = 60 * 1_048_576;

let world: TestWorld;
let relay: AttackedRelay;
let call: UserCall;
let callId: string;

beforeAll(async () => {
  relay = new AttackedRelay();
  const numbers = { echo: { target: "600", trunk: "pcmu" }, busy: { target: "640" } } as const;
  // The agent listens on both, and the world tells the one of UDP.
  const port = await freePort();
  world = await TestWorld.start({ numbers, relay, settings: { http: { port: 0 }, sip: { port } } });
  call = await world.call("echo");
  expect(await call.answered).toBe(true);
  call.sendTone(440);
  callId = await world.idOf(call.wacid);
});

afterAll(() => world?.stop());

/** Heap after everything that can be collected was, without the lines of the collected log. */
function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().heapUsed - world.log.text().length;
}

/** Runs `each` for 0 to count - 1, some at once. */
async function times(count: number, each: (n: number) => Promise<void>, atOnce = AT_ONCE): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await each(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}

async function post(raw: Buffer, signature: string | undefined): Promise<number> {
  const response = await fetch(`${world.addresses.httpUrl}/webhooks/meta`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(signature === undefined ? {} : { "x-hub-signature-256": signature }),
    },
    body: new Uint8Array(raw),
  });
  await response.arrayBuffer();
  return response.status;
}

/** A status and how often it came. */
class Tally {
  readonly counts = new Map<number, number>();

  add(status: number): void {
    this.counts.set(status, (this.counts.get(status) ?? 0) + 1);
  }
}

function channel(): { readonly display_phone_number: string; readonly phone_number_id: string } {
  return { display_phone_number: "15550100100", phone_number_id: world.number("echo") };
}

/** A connect of an id of its own, now. */
function offerBody(sdp: string): Buffer {
  const id = `wacid.${randomBytes(30).toString("base64")}`;
  const timestamp = String(Math.floor(Date.now() / 1_000));
  const offered = { ...connect, id, timestamp, session: { sdp_type: "offer", sdp } };
  return body(webhook(callsChange({ metadata: channel(), contacts: [contact], calls: [offered] })));
}

test("mutated webhooks, signed and unsigned: 200, or a 4xx that says why", { timeout: 60_000 }, async () => {
  const random = seededRandom("webhook garbage");
  const secret = world.sandbox.config.meta.app_secrets[0] ?? "";
  const [signed, unsigned] = [new Tally(), new Tally()];
  const before = heapBytes();
  await times(COUNTS.signedWebhooks, async (n) => {
    const seed = n % 3 === 0 ? body(webhook(callsChange({ calls: [terminate] }))) : offerBody(sdpFixture("meta-2025"));
    const raw = mutate(seed, random);
    signed.add(await post(raw, sign(raw, secret)));
  });
  await times(COUNTS.unsignedWebhooks, async (n) => {
    const raw = mutate(offerBody(sdpFixture("meta-older")), random);
    const forged = mutate(Buffer.from(sign(raw, "another secret")), random).toString("latin1");
    unsigned.add(await post(raw, n % 2 === 0 ? undefined : forged.replace(/[^\x21-\x7e]/g, "x")));
  });
  await times(COUNTS.sdpWebhooks, async (n) => {
    const sdp = mutate(Buffer.from(sdpFixture(n % 2 === 0 ? "meta-2025" : "meta-older")), random).toString("latin1");
    const raw = offerBody(sdp);
    signed.add(await post(raw, sign(raw, secret)));
  });
  expect([...signed.counts.keys()].sort()).toEqual([200, 400]);
  expect(signed.counts.get(200)).toBeGreaterThan(COUNTS.sdpWebhooks);
  expect([...unsigned.counts.keys()]).toEqual([401]);
  await drained();
  // Most of the mutated offers became calls, and each of them came to an end of its own.
  const causes = world.log.lines().flatMap((line) => (line.msg === "call ended" ? [line["cause"]] : []));
  expect(causes.length).toBeGreaterThan(COUNTS.sdpWebhooks / 2);
  expect(causes).toEqual(expect.arrayContaining(["bad_offer", "no_common_codec", "caller_gave_up"]));
  expect(heapBytes() - before).toBeLessThan(MOST_GROWTH_BYTES);
});

test("offers that were changed on the way to ponte, in calls that Meta knows", async () => {
  const random = seededRandom("offer garbage");
  relay.direct = true;
  // What does not even begin like a description is no offer, and is ignored.
  relay.tamperOffer = (sdp) => `v=0\r\n${mutate(Buffer.from(sdp.slice(5)), random).toString("latin1")}`;
  const ends = new Tally();
  await times(COUNTS.placedCalls, async () => {
    const placed = await world.call("busy");
    const { reason } = await placed.ended;
    ends.add(["rejected", "not_answered", "failed"].indexOf(reason));
  });
  relay.tamperOffer = (sdp) => sdp;
  // Rejected every time, whether ponte could not read the offer or the PBX was busy.
  expect([...ends.counts.keys()]).toEqual([0]);
  await drained();
});

test("mutated SIP, in datagrams and in streams: a 4xx to a peer that can be told", async () => {
  const random = seededRandom("sip garbage");
  const peer = await socketAt("127.0.0.1");
  const port = world.addresses.sip?.port ?? 0;
  const statuses = new Tally();
  peer.on("message", (bytes) => {
    const status = /^SIP\/2\.0 (\d{3})/.exec(bytes.toString())?.[1];
    if (status !== undefined) statuses.add(Number(status));
  });
  await times(
    COUNTS.sipDatagrams,
    async (n) => {
      await send(peer, mutate(sipMessage(n, peer.address().port), random), port);
      if (n % BURST === 0) await new Promise(setImmediate);
    },
    1,
  );
  await times(COUNTS.sipStreams, async (n) => {
    const socket = createConnection({ host: "127.0.0.1", port });
    socket.on("error", () => socket.destroy());
    socket.end(mutate(sipMessage(n, 5060), random));
    socket.resume();
    await once(socket, "close");
  });
  peer.close();
  const seen = await world.sandbox.daemon.observations();
  expect(seen.agent?.messages_received).toBeGreaterThan(COUNTS.sipDatagrams / 2);
  expect(seen.agent?.messages_malformed).toBeGreaterThan(100);
  expect(statuses.counts.get(400)).toBeGreaterThan(10);
  // Nothing that came this way may have reached a phone: neither 180 nor 200 to an INVITE of nobody's.
  expect([...statuses.counts.keys()].filter((status) => status > 100 && status < 200)).toEqual([]);
});

test("mutated STUN, DTLS, RTP and RTCP to the public port and to the SIP side", async () => {
  const random = seededRandom("media garbage");
  const stranger = await socketAt("127.0.0.1");
  const [publicPort, sipMediaPort] = [ourPublicPort(), ourSipMediaPort()];
  await times(
    COUNTS.publicFromStranger + COUNTS.publicFromRelay + COUNTS.sipMedia,
    async (n) => {
      const packet = mutate(mediaPacket(n), random);
      if (n < COUNTS.publicFromStranger) await send(stranger, packet, publicPort);
      else if (n < COUNTS.publicFromStranger + COUNTS.publicFromRelay) await relay.middleman.sendAsRelay(packet);
      else await send(stranger, packet, sipMediaPort + (n % 2));
      if (n % BURST === 0) await new Promise((next) => setTimeout(next, 1));
    },
    1,
  );
  stranger.close();
  const { publicPorts } = await world.sandbox.daemon.observations();
  for (const name of ["stunMalformed", "unknownSource", "unknownPackets", "dtlsMalformed", "srtpForged"] as const) {
    expect(publicPorts[0]?.[name], name).toBeGreaterThan(0);
  }
  expect(publicPorts[0]?.bugs).toBe(0);
});

test("and through all of it the one true call went on, and nothing is left of the others", async () => {
  expect(Object.values(COUNTS).reduce((sum, count) => sum + count, 0)).toBe(10_000);
  try {
    await expectTone(call, 440);
  } catch (cause) {
    const { body: seen } = await world.api(`/v1/calls/${callId}`);
    const where = { phone: await call.statistics(), ponte: seen, ports: await world.sandbox.daemon.observations() };
    throw new Error(`the call is not heard: ${JSON.stringify(where)}`, { cause });
  }
  call.hangUp();
  await world.quiet();
  const row = await eventually("the end of the record", async () => {
    const { body: shown } = await world.api(`/v1/calls/${callId}`);
    const found = shown["call"] as Readonly<Record<string, unknown>>;
    return found["state"] === "ended" ? found : undefined;
  });
  expect(row).toMatchObject({ result: "completed", ended_by: "caller" });
});

/** Until only the true call is alive. */
async function drained(): Promise<void> {
  const until = performance.now() + 8_000;
  while ((world.sandbox.daemon.switchboard?.live().length ?? 0) > 1) {
    expect(performance.now(), "calls that do not end").toBeLessThan(until);
    await new Promise((next) => setTimeout(next, 20));
  }
  const { media, sip } = await world.sandbox.daemon.counters();
  expect({ media: media.calls, legs: sip.legs }).toEqual({ media: 1, legs: 1 });
}

async function socketAt(address: string): Promise<Socket> {
  const socket = createSocket("udp4");
  socket.bind(0, address);
  await once(socket, "listening");
  return socket;
}

function send(socket: Socket, packet: Buffer, port: number): Promise<void> {
  return new Promise((done) => socket.send(packet, port, "127.0.0.1", () => done()));
}

function ourAnswer(): string {
  const request = world.meta.log.requests("pre_accept").find((each) => each.wacid === call.wacid);
  return (request?.body as { readonly session: { readonly sdp: string } } | undefined)?.session.sdp ?? "";
}

function ourPublicPort(): number {
  return readTransport(ourAnswer()).candidates[0]?.port ?? 0;
}

function ourSipMediaPort(): number {
  const invite = world.sip(call.wacid).find(({ what }) => what === "INVITE");
  return Number(/^m=audio (\d+) /m.exec(invite?.body ?? "")?.[1]);
}

const METHODS = ["INVITE", "OPTIONS", "BYE", "CANCEL", "ACK", "REGISTER", "MESSAGE", "UPDATE", "INFO", "REFER"];

function sipMessage(n: number, port: number): Buffer {
  const method = METHODS[n % METHODS.length] ?? "OPTIONS";
  const sdp = method === "INVITE" ? sdpFixture("asterisk-answer") : "";
  const start = n % 7 === 0 ? "SIP/2.0 200 OK" : `${method} sip:ponte@127.0.0.1 SIP/2.0`;
  const lines = [
    start,
    `Via: SIP/2.0/UDP 127.0.0.1:${port};branch=z9hG4bK${n}x;rport`,
    `From: "A" <sip:a@127.0.0.1>;tag=${n}`,
    `To: <sip:ponte@127.0.0.1>${n % 3 === 0 ? ";tag=77" : ""}`,
    `Call-ID: garbage-${n}`,
    `CSeq: ${n + 1} ${method}`,
    `Contact: <sip:a@127.0.0.1:${port}>`,
    "Max-Forwards: 70",
    ...(sdp === "" ? [] : ["Content-Type: application/sdp"]),
    `Content-Length: ${sdp.length}`,
  ];
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n${sdp}`);
}

function mediaPacket(n: number): Buffer {
  const { ufrag, pwd } = readTransport(ourAnswer());
  const check = { class: "request", transactionId: "11".repeat(12), username: `${ufrag}:x` } as const;
  const makers = [
    () => buildStun(check, pwd),
    () => buildStun({ class: "success", transactionId: "22".repeat(12) }, pwd),
    () => Buffer.from("15fefd00000000000000000002020a", "hex"),
    () => Buffer.from(`16fefd0000000000000007002c010000200000000000000020fefd${"00".repeat(30)}`, "hex"),
    () => Buffer.from(`17fefd00010000000000070020${"5a".repeat(32)}`, "hex"),
    () =>
      buildRtp({ payloadType: 111, marker: false, sequence: n, timestamp: 960 * n, ssrc: 7 }, Buffer.alloc(40, 0x5a)),
    () =>
      buildRtp({ payloadType: 0, marker: false, sequence: n, timestamp: 160 * n, ssrc: 7 }, Buffer.alloc(160, 0x5a)),
    () =>
      buildRtp(
        { payloadType: 101, marker: true, sequence: n, timestamp: 160 * n, ssrc: 7 },
        Buffer.from([1, 0x8a, 0, 160]),
      ),
    () => Buffer.from(`80c80006706f6e74${"00".repeat(34)}`, "hex"),
    () => relay.middleman.fromRelay.at(-1) ?? Buffer.alloc(0),
  ];
  return makers[n % makers.length]?.() ?? Buffer.alloc(0);
}
