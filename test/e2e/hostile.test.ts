import { createHmac, randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { buildStun } from "#media/transport/stun.ts";
import type { UserCall } from "#sandbox/phone/user-call.ts";
import { buildRtp } from "#sandbox/relay/rtp.ts";
import type { DaemonObservations } from "#src/daemon.ts";
import { connect } from "#store/client.ts";
import { readTransport } from "#test/protocol/media/transport-support.ts";
import { AttackedRelay } from "#test/support/attacked-relay.ts";
import { ForgingRelay } from "#test/support/forging-relay.ts";
import { eventually, TestWorld } from "#test/support/world.ts";
import { mutate, seededRandom } from "#test/unit/media/transport/support.ts";

const TONE_HZ = 440;
/** A hole that a person notices. */
const LONGEST_GAP_MS = 60;
const LISTEN_MS = 800;
/** A stall of the whole machine spoils a window; a disturbance by the attack spoils every window, for it goes on. */
const WINDOWS = 4;
/** Between two rounds of an attack. */
const ROUND_MS = 50;
/** A host that is no peer: the whole of 127/8 is this machine, and the trunk is 127.0.0.1. */
const STRANGER = "127.0.0.2";

let world: TestWorld;
let relay: AttackedRelay;
const sockets: Socket[] = [];

beforeAll(async () => {
  relay = new AttackedRelay();
  const numbers = { echo: { target: "600" }, rings: { target: "641" } };
  world = await TestWorld.start({ numbers, relay, settings: { calling: { trunk: "pcmu" }, http: { port: 0 } } });
});

afterAll(() => world?.stop());

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});

async function socketAt(address: string): Promise<Socket> {
  const socket = createSocket("udp4");
  sockets.push(socket);
  socket.bind(0, address);
  await once(socket, "listening");
  return socket;
}

function send(socket: Socket, packet: Buffer | string, port: number): Promise<void> {
  return new Promise((done) => socket.send(packet, port, "127.0.0.1", () => done()));
}

/** Sum of one counter over all workers. */
function counted(seen: DaemonObservations, name: keyof DaemonObservations["publicPorts"][number]): number {
  return seen.publicPorts.reduce((sum, port) => sum + port[name], 0);
}

describe("a call that talks is not disturbed by", () => {
  let call: UserCall;
  let before: DaemonObservations;

  beforeAll(async () => {
    call = await world.call("echo");
    expect(await call.answered).toBe(true);
    call.sendTone(TONE_HZ);
    await pause(400);
  });

  beforeEach(async () => {
    before = await world.sandbox.daemon.observations();
  });

  afterAll(async () => {
    call.hangUp();
    const { row, phone, webhooks } = await world.story(call.wacid);
    expect(row).toMatchObject({ result: "completed", ended_by: "caller", cause: "hangup" });
    expect(phone.at(-1)).toBe("ended");
    expect(webhooks).toEqual(["connect 200", "terminate 200"]);
  });

  /** What our answer says of the public port and its secrets. */
  function target() {
    const request = world.meta.log.requests("pre_accept").find((each) => each.wacid === call.wacid);
    const webhook = world.meta.log.webhooks("connect").find((each) => each.wacids.includes(call.wacid));
    const { ufrag, pwd, candidates } = readTransport(
      (request?.body as { readonly session: { readonly sdp: string } } | undefined)?.session.sdp ?? "",
    );
    const theirs = /a=ice-ufrag:([^\\]+)/.exec(webhook?.body ?? "")?.[1] ?? "";
    expect([ufrag, pwd, theirs]).not.toContain("");
    return { ufrag, pwd, username: `${ufrag}:${theirs}`, port: candidates[0]?.port ?? 0 };
  }

  /** Attacks again and again while the tone is listened to. */
  async function whileListening(attack: () => Promise<void>): Promise<void> {
    const heard: unknown[] = [];
    while (heard.length < WINDOWS) {
      const listening = { on: true };
      const attacking = (async () => {
        while (listening.on) {
          await attack();
          await pause(ROUND_MS);
        }
      })();
      const report = await call.listen(LISTEN_MS, TONE_HZ);
      listening.on = false;
      await attacking;
      if (Math.abs(report.hz - TONE_HZ) <= 3 && report.snrDb > 15 && report.longestGapMs <= LONGEST_GAP_MS) return;
      heard.push(report);
    }
    expect(heard, "the tone without a hole in one of the windows").toBe("heard");
  }

  /** How much a counter of the public ports grew. */
  async function grew(name: keyof DaemonObservations["publicPorts"][number]): Promise<number> {
    return counted(await world.sandbox.daemon.observations(), name) - counted(before, name);
  }

  /** What the call itself has refused so far on one side. */
  async function refused(side: "a" | "b"): Promise<Readonly<Record<string, number>>> {
    const live = world.sandbox.daemon.switchboard?.live().find(({ offer }) => offer.wacid === call.wacid);
    return (await world.sandbox.daemon.switchboard?.statistics(live?.id ?? ""))?.[side].refused ?? {};
  }

  test("spoofed STUN from a stranger and from the relay's own address", async () => {
    const stranger = await socketAt("127.0.0.1");
    const { ufrag, pwd, username, port } = target();
    let answers = 0;
    stranger.on("message", () => {
      answers += 1;
    });
    await whileListening(async () => {
      const check = { class: "request", transactionId: randomBytes(12).toString("hex"), useCandidate: true } as const;
      const spoofed = [
        buildStun({ ...check, username }, undefined),
        buildStun({ ...check, username }, "not the password"),
        buildStun({ ...check, username: `${ufrag}:somebody` }, pwd),
        buildStun({ ...check, username: "nobody:at-all" }, pwd),
        buildStun({ class: "success", transactionId: check.transactionId }, pwd),
      ];
      for (const packet of spoofed) {
        await send(stranger, packet, port);
        await relay.middleman.sendAsRelay(packet);
      }
    });
    for (const name of ["stunUnsigned", "stunForged", "unknownUfrag", "stunUnexpected"] as const) {
      expect(await grew(name), name).toBeGreaterThan(0);
    }
    expect(answers).toBe(0);
  });

  test("DTLS alerts in the clear, and a second handshake", async () => {
    const hello = relay.middleman.fromRelay.filter((packet) => packet[0] === 22);
    await whileListening(async () => {
      // Fatal handshake_failure, and close_notify, in epoch 0.
      await relay.middleman.sendAsRelay(Buffer.from("15fefd00000000000000000002022800", "hex").subarray(0, 15));
      await relay.middleman.sendAsRelay(Buffer.from("15fefd000000000000000000020100", "hex"));
      for (const packet of hello) await relay.middleman.sendAsRelay(packet);
    });
    expect(await grew("dtlsPlaintextAlerts")).toBeGreaterThan(1);
  });

  test("SRTP that is repeated, and SRTP and SRTCP that are garbage", async () => {
    const random = seededRandom("srtp garbage");
    await whileListening(async () => {
      const media = relay.middleman.fromRelay.filter((packet) => (packet[0] ?? 0) >> 6 === 2).slice(-10);
      for (const packet of media) {
        await relay.middleman.sendAsRelay(packet);
        const forged = Buffer.from(packet);
        // The sequence number of the future: a receiver that believes it loses the true ones.
        forged.writeUInt16BE((forged.readUInt16BE(2) + 3_000) & 0xffff, 2);
        await relay.middleman.sendAsRelay(forged);
        await relay.middleman.sendAsRelay(mutate(packet, random));
        const report = Buffer.from(packet);
        report[1] = 200;
        await relay.middleman.sendAsRelay(report);
      }
    });
    expect(await grew("srtpReplayed")).toBeGreaterThan(5);
    expect(await grew("srtpForged")).toBeGreaterThan(5);
    expect(await refused("a")).toMatchObject({ srtp_replayed: expect.any(Number), srtp_forged: expect.any(Number) });
  });

  test("media and DTLS from a stranger on the public port", async () => {
    const stranger = await socketAt("127.0.0.1");
    const { port } = target();
    await whileListening(async () => {
      for (const packet of relay.middleman.fromRelay.slice(-5)) await send(stranger, packet, port);
      await send(stranger, Buffer.from("15fefd000000000000000000020100", "hex"), port);
      await send(stranger, Buffer.from("ff00", "hex"), port);
    });
    expect(await grew("unknownSource")).toBeGreaterThan(5);
    expect(await grew("unknownPackets")).toBeGreaterThan(0);
  });

  test("RTP and RTCP from strangers on the SIP side", async () => {
    const strangers = [await socketAt("127.0.0.1"), await socketAt(STRANGER)];
    const invite = world.sip(call.wacid).find(({ what }) => what === "INVITE");
    const rtpPort = Number(/^m=audio (\d+) /m.exec(invite?.body ?? "")?.[1]);
    expect(rtpPort).toBeGreaterThan(0);
    const noise = randomBytes(160);
    let sequence = 0;
    await whileListening(async () => {
      for (const stranger of strangers) {
        for (const payloadType of [0, 8, 101]) {
          sequence += 1;
          const header = { payloadType, marker: false, sequence, timestamp: 160 * sequence, ssrc: 0x0bad };
          await send(stranger, buildRtp(header, noise), rtpPort);
        }
        // RTCP BYE and a receiver report for nobody.
        await send(stranger, Buffer.from("81cb000100000bad", "hex"), rtpPort + 1);
        await send(stranger, Buffer.from("80c9000100000bad", "hex"), rtpPort);
      }
    });
    expect((await refused("b"))["strangers"]).toBeGreaterThan(10);
  });

  test("SIP from a host that is no peer, with everything about the dialog right", async () => {
    const stranger = await socketAt(STRANGER);
    let answers = 0;
    stranger.on("message", () => {
      answers += 1;
    });
    await whileListening(async () => {
      for (const method of ["BYE", "INVITE", "CANCEL", "UPDATE"]) {
        await send(stranger, spoofed(method, STRANGER, stranger, {}), sipPort());
      }
    });
    const { agent } = await world.sandbox.daemon.observations();
    expect((agent?.strangers_dropped ?? 0) - (before.agent?.strangers_dropped ?? 0)).toBeGreaterThan(3);
    expect(answers).toBe(0);
  });

  test("SIP from a peer's host with another tag, another Call-ID or no dialog at all", async () => {
    const neighbour = await socketAt("127.0.0.1");
    const answers: string[] = [];
    neighbour.on("message", (bytes) => answers.push(bytes.toString()));
    await whileListening(async () => {
      for (const method of ["BYE", "INVITE", "CANCEL", "UPDATE", "INFO"]) {
        for (const wrong of [{ ourTag: "wrong" }, { theirTag: "wrong" }, { callId: "wrong@nowhere" }]) {
          await send(neighbour, spoofed(method, "127.0.0.1", neighbour, wrong), sipPort());
        }
      }
    });
    const told = (await eventually("answers", async () => (answers.length > 10 ? answers : undefined))).map(
      (text) => /^SIP\/2\.0 (\d{3})[\s\S]*?CSeq: \d+ ([A-Z]+)/i.exec(text)?.slice(1, 3).join(" ") ?? text,
    );
    expect([...new Set(told)].filter((each) => !/^(?:481|100|503) /.test(each))).toEqual([]);
    expect(told).toContain("481 BYE");
  });

  /** A request as the PBX would send it in this call's dialog, but for what is wrong. */
  function spoofed(
    method: string,
    host: string,
    from: Socket,
    wrong: { readonly callId?: string; readonly ourTag?: string; readonly theirTag?: string },
  ): string {
    const messages = world.sip(call.wacid);
    const answer = messages.find(({ what, method: of }) => what === "200" && of === "INVITE");
    const tagOf = (header: string): string => /;tag=([^;\s]+)/.exec(answer?.header(header) ?? "")?.[1] ?? "";
    const [ours, theirs] = [wrong.ourTag ?? tagOf("From"), wrong.theirTag ?? tagOf("To")];
    const { port } = from.address();
    return [
      `${method} sip:ponte@127.0.0.1:${sipPort()} SIP/2.0`,
      `Via: SIP/2.0/UDP ${host}:${port};branch=z9hG4bK${randomBytes(8).toString("hex")};rport`,
      `From: <sip:600@127.0.0.1>;tag=${theirs}`,
      `To: <sip:ponte@127.0.0.1>;tag=${ours}`,
      `Call-ID: ${wrong.callId ?? answer?.callId ?? ""}`,
      `CSeq: 4711 ${method}`,
      `Contact: <sip:mallory@${host}:${port}>`,
      "Max-Forwards: 70",
      "Content-Length: 0",
      "",
      "",
    ].join("\r\n");
  }

  function sipPort(): number {
    return world.addresses.sip?.port ?? 0;
  }

  test("webhooks about it that Meta did not sign", async () => {
    const sql = connect({ url: world.sandbox.config.database.url ?? "", connections: 1 });
    const stored = async (): Promise<unknown> => (await sql`select count(*)::int as n from webhook_inbox`)[0]?.["n"];
    const storedBefore = await stored();
    const body = JSON.stringify({
      object: "whatsapp_business_account",
      entry: [
        {
          id: "1",
          changes: [
            {
              field: "calls",
              value: {
                messaging_product: "whatsapp",
                metadata: { display_phone_number: "1", phone_number_id: world.number("echo") },
                calls: [{ id: call.wacid, event: "terminate", timestamp: "1", direction: "USER_INITIATED" }],
              },
            },
          ],
        },
      ],
    });
    const signatures = [
      undefined,
      "",
      "sha256=",
      `sha256=${"0".repeat(64)}`,
      `sha256=${createHmac("sha256", "another app's secret").update(body).digest("hex")}`,
      `sha1=${createHmac("sha1", world.sandbox.config.meta.app_secrets[0] ?? "")
        .update(body)
        .digest("hex")}`,
      `sha256=${createHmac("sha256", world.sandbox.config.meta.app_secrets[0] ?? "")
        .update(`${body} `)
        .digest("hex")}`,
    ];
    const statuses = new Set<number>();
    await whileListening(async () => {
      for (const signature of signatures) {
        const headers = {
          "content-type": "application/json",
          ...(signature === undefined ? {} : { "x-hub-signature-256": signature }),
        };
        const url = `${world.addresses.httpUrl}/webhooks/meta`;
        statuses.add((await fetch(url, { method: "POST", headers, body })).status);
      }
    });
    expect([...statuses]).toEqual([401]);
    expect(await stored()).toBe(storedBefore);
    const { webhooks } = await world.sandbox.daemon.observations();
    expect((webhooks?.wrongSignatures ?? 0) - (before.webhooks?.wrongSignatures ?? 0)).toBeGreaterThan(6);
    await sql.end();
  });
});

describe("a forged handshake ends the call before a word is heard", () => {
  const impostor = new ForgingRelay();

  beforeAll(() => impostor.start());

  afterAll(() => impostor.stop());

  afterEach(() => {
    relay.middleman.tamper = (packet) => packet;
    relay.tamperOffer = (sdp) => sdp;
    relay.impostor = undefined;
  });

  const forgeries = [
    {
      name: "the signature of ServerKeyExchange",
      counter: "dtlsForgedSignature",
      forge: () => {
        relay.middleman.tamper = (packet, sender) => (sender === "relay" ? withSpoiledKeyExchange(packet) : packet);
      },
    },
    {
      name: "the certificate, against the fingerprint of the offer",
      counter: "dtlsWrongFingerprint",
      forge: () => {
        relay.tamperOffer = (sdp) =>
          sdp.replace(/^(a=fingerprint:sha-256 )../m, (_, start: string) => `${start}${otherByte(sdp)}`);
      },
    },
    {
      name: "Finished",
      counter: "dtlsForgedFinished",
      forge: () => {
        relay.impostor = impostor;
      },
    },
  ] as const;

  test.each(forgeries)("$name: the PBX gets CANCEL, Meta terminate", async ({ counter, forge }) => {
    forge();
    const before = await world.sandbox.daemon.observations();
    const call = await world.call("rings");
    expect(await call.ended).toMatchObject({ by: "business" });
    expect(await call.answered).toBe(false);
    const { row, graph, sip } = await world.story(call.wacid);
    expect(row).toMatchObject({ result: "failed", cause: "dtls_failed" });
    expect(graph).toEqual(["pre_accept 200", "terminate 200"]);
    expect(sip.filter(({ from }) => from === "ponte").map(({ what }) => what)).toEqual(["INVITE", "CANCEL", "ACK"]);
    expect(counted(await world.sandbox.daemon.observations(), counter) - counted(before, counter)).toBe(1);
    expect((await call.statistics()).packetsHeard).toBe(0);
  });
});

/** Turns a byte of what the signature covers, or of the signature itself: message type 12 of the relay's flight. */
function withSpoiledKeyExchange(packet: Buffer): Buffer {
  const at = packet[0] === 22 ? packet.indexOf(Buffer.from([12, 0, 0])) : -1;
  if (at < 0) return packet;
  const changed = Buffer.from(packet);
  const end = at + 11 + changed.readUIntBE(at + 1, 3);
  changed[end] = (changed[end] ?? 0) ^ 0xff;
  return changed;
}

/** Another first byte than that of the offer's fingerprint. */
function otherByte(sdp: string): string {
  return /^a=fingerprint:sha-256 00/m.test(sdp) ? "11" : "00";
}
