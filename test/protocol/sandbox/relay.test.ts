import { createSocket, type Socket } from "node:dgram";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parseRtcp } from "#core/rtp/rtcp.ts";
import { PublicPort } from "#media/transport/public-port.ts";
import { buildStun, parseStun, type StunContent, type StunMessage } from "#media/transport/stun.ts";
import type { CallEnd, PlacedCall } from "#sandbox/meta/calls.ts";
import type { Modes } from "#sandbox/meta/modes.ts";
import { valuesOf, viewSdp } from "#sandbox/meta/sdp-view.ts";
import { buildRtp, DIGITS_PT, digitPayload, OPUS_PT, readRtp } from "#sandbox/relay/rtp.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { BusinessLeg, type ConnectEvent, number, openSandbox, type Sandbox, silence } from "./business.ts";

/** The relay's and Meta's timers stand still until they are moved; ICE and DTLS run on real time. */
let clock: FakeClock;
let sandbox: Sandbox;
let socket: Socket | undefined;

beforeEach(async () => {
  clock = new FakeClock();
  sandbox = await openSandbox({ meta: { clock }, relay: { clock, address6: "::1" } });
});

afterEach(async () => {
  socket?.close();
  socket = undefined;
  await sandbox.stop();
});

interface Ring {
  readonly call: PlacedCall;
  readonly event: ConnectEvent;
  readonly leg: BusinessLeg;
  /** What the user's phone hears. */
  readonly heard: Buffer[];
  readonly ended: Promise<CallEnd>;
}

/** A call that has reached the business. */
async function ring(modes: Partial<Modes> = {}, port: PublicPort = sandbox.business.port): Promise<Ring> {
  const heard: Buffer[] = [];
  const { promise: ended, resolve } = Promise.withResolvers<CallEnd>();
  const { promise: event, resolve: connected } = Promise.withResolvers<ConnectEvent>();
  sandbox.business.onConnect = connected;
  const user = { number: "5511987654321", profileName: "Ana", userId: "BR.1" };
  const call = sandbox.meta.placeCall(
    { user, phoneNumberId: number.phoneNumberId, modes },
    {
      onRinging: () => undefined,
      onPickedUp: () => undefined,
      onEnded: resolve,
      onRtp: (p) => void heard.push(Buffer.from(p)),
    },
  );
  const offered = await event;
  return { call, event: offered, leg: new BusinessLeg(port, offered.sdp), heard, ended };
}

/** A call that is accepted and whose media is up. */
async function talk(modes: Partial<Modes> = {}): Promise<Ring> {
  const rung = await ring(modes);
  const { id } = rung.event;
  await sandbox.business.act("pre_accept", id, rung.leg.answer);
  rung.leg.connect();
  await rung.leg.connected;
  await sandbox.business.act("accept", id, rung.leg.answer);
  return rung;
}

/** A connection takes some ten milliseconds; what has not come after this is taken not to come. */
const NEVER_MS = 200;

async function until(check: () => boolean): Promise<void> {
  await expect.poll(check, { interval: 5 }).toBe(true);
}

const violations = (): readonly string[] => sandbox.meta.log.violations().map((entry) => entry.rule);
const userPacket = (sequence: number): Buffer =>
  buildRtp({ payloadType: OPUS_PT, marker: false, sequence, timestamp: sequence * 960, ssrc: 99 }, silence);

let transactions = 0;
function nextTransactionId(): string {
  transactions += 1;
  return String(transactions).padStart(24, "0");
}

/**
 * Sends one STUN message to the relay and gives what comes back; undefined when nothing does. A request that is always
 * answered (487) goes behind it, so that nobody has to wait for nothing. `own` is our ufrag, if the relay knows it.
 */
async function ask(
  sdp: string,
  content: Omit<StunContent, "class" | "transactionId">,
  password: string | undefined,
  own = "X1ho",
): Promise<StunMessage | undefined> {
  const view = viewSdp(sdp);
  const one = (name: string): string => valuesOf(view, name)[0] ?? "";
  const [, , , , address = "", port] = valuesOf(view, "candidate")[0]?.split(" ") ?? [];
  const asker = createSocket("udp4");
  socket?.close();
  socket = asker;
  const answer = new Promise<Buffer>((resolve) => asker.once("message", resolve));
  const transactionId = nextTransactionId();
  const conflict = {
    transactionId: nextTransactionId(),
    username: `${one("ice-ufrag")}:${own}`,
    iceControlled: 5n,
  };
  for (const packet of [
    buildStun({ class: "request", transactionId, priority: 1, ...content }, password),
    buildStun({ class: "request", priority: 1, ...conflict }, one("ice-pwd")),
  ]) {
    asker.send(packet, Number(port), address);
  }
  const first = parseStun(await answer);
  return first?.transactionId === transactionId ? first : undefined;
}

describe("M1: the relay is ICE-lite", () => {
  test("answers a check that knows the password, with the address it came from", async () => {
    const { event } = await ring();
    const [ufrag] = valuesOf(viewSdp(event.sdp), "ice-ufrag");
    const [pwd] = valuesOf(viewSdp(event.sdp), "ice-pwd");
    expect(ufrag).toHaveLength(16);
    expect(pwd).toMatch(/^.{22}==$/);
    const answer = await ask(event.sdp, { username: `${ufrag}:X1ho`, iceControlling: 5n }, pwd);
    expect(answer).toMatchObject({
      class: "success",
      mappedAddress: { address: "127.0.0.1", port: socket?.address().port },
    });
  });

  test("says 487 to ICE-CONTROLLED, and nothing to a wrong password, to none, or to a stranger's ufrag", async () => {
    const { event } = await ring();
    const [ufrag] = valuesOf(viewSdp(event.sdp), "ice-ufrag");
    const [pwd] = valuesOf(viewSdp(event.sdp), "ice-pwd");
    const username = `${ufrag}:X1ho`;
    expect(await ask(event.sdp, { username, iceControlled: 5n }, pwd)).toMatchObject({
      class: "error",
      errorCode: 487,
    });
    expect(await ask(event.sdp, { username, iceControlling: 5n }, `x${pwd}`)).toBeUndefined();
    expect(await ask(event.sdp, { username, iceControlling: 5n }, undefined)).toBeUndefined();
    expect(await ask(event.sdp, { username: "nobody:X1ho", iceControlling: 5n }, pwd)).toBeUndefined();
  });

  test("M15: after the answer another ufrag of the business gets no answer", async () => {
    const { event, leg } = await talk();
    const [ufrag] = valuesOf(viewSdp(event.sdp), "ice-ufrag");
    const [pwd] = valuesOf(viewSdp(event.sdp), "ice-pwd");
    const own = leg.session.local.ufrag;
    expect(await ask(event.sdp, { username: `${ufrag}:${own}`, iceControlling: 5n }, pwd)).toMatchObject({
      class: "success",
    });
    expect(await ask(event.sdp, { username: `${ufrag}:other`, iceControlling: 5n }, pwd, own)).toBeUndefined();
  });
});

describe("M2 and M3: the way in", () => {
  test("an answer without candidates connects: the address is learnt from the checks", async () => {
    const { leg } = await talk();
    expect(leg.answer).not.toContain("a=candidate");
    leg.send();
    await until(() => sandbox.meta.log.calls().some((entry) => entry.step === "first_rtp"));
  });

  test("over IPv6, which has the higher priority", async () => {
    const port = new PublicPort({ port: 0, bind6: "::1", iceTimeoutMs: 3_000 });
    await port.start();
    try {
      const { event, leg } = await ring({ ipv6: "reachable" }, port);
      await sandbox.business.act("pre_accept", event.id, leg.answer);
      leg.connect();
      await leg.connected;
      expect(leg.session.remoteAddress?.address).toBe("::1");
    } finally {
      await port.stop();
    }
  });
});

test("M4: DTLS before our SDP is not heard, and goes on as soon as it came", async () => {
  const { event, leg } = await ring();
  leg.connect();
  const early = await Promise.race([
    leg.connected.then(() => "connected"),
    new Promise<string>((resolve) => setTimeout(() => resolve("waiting"), NEVER_MS)),
  ]);
  expect(early).toBe("waiting");
  await sandbox.business.act("pre_accept", event.id, leg.answer);
  await leg.connected;
});

test("M6: another certificate than the fingerprint's ends the handshake and the call", async () => {
  const { event, leg, ended } = await ring();
  const wrong = leg.answer.replace(
    /(a=fingerprint:sha-256 )(..)/,
    (_, head, byte) => `${head}${byte === "00" ? "01" : "00"}`,
  );
  await sandbox.business.act("pre_accept", event.id, wrong);
  leg.connect();
  expect(await ended).toMatchObject({ reason: "failed", code: 138023 });
  expect(["dtls_refused", "dtls_timeout", "closed_by_peer"]).toContain(await leg.failed);
  await sandbox.meta.idle();
  expect(sandbox.business.events.at(-1)).toMatchObject({
    event: "terminate",
    status: "FAILED",
    errors: [{ code: 138023 }],
  });
});

test("D6 and D12: an answer that two lite agents would have never connects", async () => {
  const { event, leg } = await ring();
  const lite = leg.answer.replace("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n");
  expect((await sandbox.business.act("pre_accept", event.id, lite)).status).toBe(200);
  leg.connect();
  const later = new Promise<string>((resolve) => setTimeout(() => resolve("waiting"), NEVER_MS));
  expect(await Promise.race([leg.connected.then(() => "connected"), later])).toBe("waiting");
});

describe("media", () => {
  test("M7: nothing comes before our first packet; then the user's stream does, under the SSRC of the offer", async () => {
    const { event, call, leg, heard } = await talk();
    for (let i = 0; i < 5; i += 1) call.sendRtp(userPacket(i));
    leg.send();
    await until(() => heard.length === 1);
    expect(leg.heard).toEqual([]);
    call.sendRtp(userPacket(5));
    await until(() => leg.heard.length === 1);
    const [packet] = leg.heard;
    expect(readRtp(packet ?? Buffer.alloc(0))).toMatchObject({ sequence: 5, timestamp: 5 * 960, payload: silence });
    expect(String(packet?.readUInt32BE(8))).toBe(valuesOf(viewSdp(event.sdp), "ssrc")[0]?.split(" ")[0]);
    expect(call.statistics()).toMatchObject({ fromBusiness: 1, toBusiness: 1, heldBack: 5, lost: 0 });
    expect(violations()).toEqual([]);
  });

  test("M8: a packet before the 200 of accept is noted, and starts the user's timer", async () => {
    const { event, leg, call } = await ring();
    await sandbox.business.act("pre_accept", event.id, leg.answer);
    leg.connect();
    await leg.connected;
    leg.send();
    await until(() => sandbox.meta.log.calls(call.wacid).some((entry) => entry.step === "picked_up"));
    expect(violations()).toEqual(["M8"]);
  });

  test("M8: once accept was taken a packet is in time, even when its 200 was lost", async () => {
    const { event, leg } = await ring();
    await sandbox.business.act("pre_accept", event.id, leg.answer);
    leg.connect();
    await leg.connected;
    sandbox.meta.faults.next("accept", { kind: "answer_lost" });
    await sandbox.business.act("accept", event.id, leg.answer).catch(() => undefined);
    leg.send();
    await until(() => sandbox.meta.log.calls().some((entry) => entry.step === "first_rtp"));
    expect(violations()).toEqual([]);
  });

  test("M9: the user hears one SSRC; packets of a second one are dropped", async () => {
    const { leg, heard } = await talk();
    leg.send();
    leg.send({ ssrc: leg.ssrc + 1 });
    leg.send();
    await until(() => heard.length === 2);
    expect(new Set(heard.map((packet) => packet.readUInt32BE(8))).size).toBe(1);
    expect(heard[0]?.readUInt32BE(8)).not.toBe(leg.ssrc);
    expect(violations()).toContain("M9");
  });

  test("M12: digits go both ways under 126", async () => {
    const { leg, call, heard } = await talk();
    leg.send();
    leg.send({ payloadType: DIGITS_PT, marker: true, payload: digitPayload("9", false, 160) });
    for (let i = 0; i < 3; i += 1) leg.send({ payloadType: DIGITS_PT, step: 0, payload: digitPayload("9", true, 320) });
    await until(() => heard.length === 5);
    expect(call.statistics().digits).toBe("9");
    const header = { payloadType: DIGITS_PT, marker: true, sequence: 1, timestamp: 0, ssrc: 99 };
    call.sendRtp(buildRtp(header, digitPayload("3", false, 160)));
    await until(() => leg.heard.length === 1);
    expect(readRtp(leg.heard[0] ?? Buffer.alloc(0))).toMatchObject({ payloadType: DIGITS_PT, marker: true });
    expect(violations()).toEqual([]);
  });

  test("M10: 20 s without a packet after accept end the call as FAILED 138021 with a duration of 20", async () => {
    const { ended } = await talk();
    clock.advance(19_999);
    expect(sandbox.meta.liveCalls()).toBe(1);
    clock.advance(1);
    expect(await ended).toEqual({ reason: "failed", by: "whatsapp", code: 138021, durationMs: 20_000 });
    await sandbox.meta.idle();
    expect(sandbox.business.events.at(-1)).toMatchObject({
      status: "FAILED",
      duration: 20,
      errors: [{ code: 138021 }],
    });
  });

  test("M10: later it is 30 s, and RTCP counts; M14: a BYE ends nothing", async () => {
    const { leg, call, ended, heard } = await talk();
    leg.send();
    await until(() => heard.length === 1);
    clock.advance(29_000);
    const report = Buffer.from(`80c90001${leg.ssrc.toString(16)}81cb0001${leg.ssrc.toString(16)}`, "hex");
    expect(leg.session.sendRtcp(report)).toBe(true);
    await until(() => call.statistics().reportsFromBusiness === 1);
    clock.advance(29_999);
    expect(sandbox.meta.liveCalls()).toBe(1);
    clock.advance(1);
    expect(await ended).toMatchObject({ code: 138021, durationMs: 59_000 });
  });

  test("reports what it received, for the business's statistics", async () => {
    const { leg, heard, call } = await talk();
    const reports: Buffer[] = [];
    leg.onRtcp = (packet) => void reports.push(Buffer.from(packet));
    leg.send();
    leg.sequence += 1;
    leg.timestamp += 960;
    leg.send();
    await until(() => heard.length === 2);
    call.sendRtp(userPacket(1));
    clock.advance(5_000);
    await until(() => reports.length > 0);
    const [report] = parseRtcp(reports[0] ?? Buffer.alloc(0)) ?? [];
    expect(report).toMatchObject({
      type: "sender_report",
      packets: 1,
      blocks: [{ ssrc: leg.ssrc, cumulativeLost: 1, fractionLost: 85 }],
    });
  });
});
