import { createSocket } from "node:dgram";
import { once } from "node:events";
import { expect, type TestContext, test } from "vitest";
import { parseRtcp } from "#core/rtp/rtcp.ts";
import type { MediaPlaneOptions } from "#media/plane/media-plane.ts";
import { PublicPort } from "#media/transport/public-port.ts";
import { Middleman } from "#test/protocol/media/transport-support.ts";
import { LOOPBACK, OPUS, PCMU, Relay, Stage, Story, until } from "./support.ts";

/** A plane of its own for one test, stopped when the test is over. */
async function begin({ onTestFinished }: TestContext, options: Partial<MediaPlaneOptions> = {}): Promise<Stage> {
  const stage = new Stage(options);
  onTestFinished(async () => stage.stop());
  await stage.start();
  return stage;
}

/** Whether a UDP port can be bound, which means that nobody has it. */
async function isFree(port: number): Promise<boolean> {
  const socket = createSocket("udp4");
  try {
    socket.bind({ port, address: LOOPBACK, exclusive: true });
    await once(socket, "listening");
    return true;
  } catch {
    return false;
  } finally {
    socket.close();
  }
}

test.concurrent("nothing is sent before startSending; then silence flows at once, 20 ms apart, for a PBX that is silent", async (context) => {
  const stage = await begin(context, { silenceChecksMs: [300, 900] });
  const { relay, pbx, call, story } = await stage.call((it) => it.describe(PCMU));
  const user = await stage.mouth(OPUS, 440);
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect([relay.ear.packets.length, relay.rtcp.length, pbx.ear.packets.length]).toEqual([0, 0, 0]);

  const startedAt = performance.now();
  call.startSending();
  await until(() => relay.ear.packets.length > 0, "the first packet");
  expect((relay.ear.packets[0]?.at ?? 0) - startedAt).toBeLessThan(500);
  expect(relay.ear.packets[0]).toMatchObject({ marker: true, payloadType: 111, ssrc: call.ssrc });
  expect(relay.ear.packets[0]?.payload.toString("hex")).toBe("f8fffe");
  await until(() => story.checks.length === 1, "the first check");
  expect(story.checks[0]).toMatchObject({ afterMs: 300, findings: { fromWhatsApp: 0, fromPbx: 0, strangers: 0 } });
  const hush = stage.every20ms(() => relay.session.sendRtp(user.packet()));
  await until(() => relay.ear.packets.length >= 101 && story.checks.length === 2, "2 s of silence");
  hush();
  const packets = relay.ear.packets;
  const [first, last] = [packets[0], packets.at(-1)];
  // The stream's time is the clock's, to the arrival of one packet (a busy machine delivers late).
  const frames = (((last?.timestamp ?? 0) - (first?.timestamp ?? 0)) >>> 0) / 960;
  expect(Math.abs((last?.at ?? 0) - (first?.at ?? 0) - frames * 20)).toBeLessThan(150);
  expect(packets.slice(1).every((packet, n) => packet.sequence === (((packets[n]?.sequence ?? 0) + 1) & 0xffff))).toBe(
    true,
  );
  expect(story.checks[1]).toMatchObject({ afterMs: 900, findings: { fromPbx: 0 } });
  expect(story.checks[1]?.findings.fromWhatsApp).toBeGreaterThan(5);
  expect(story.steps()).toEqual(["ice", "dtls", "first_rtp_out", "first_rtp_in"]);
});

test.concurrent("the first check after both were heard says so, once", async (context) => {
  const stage = await begin(context, { silenceChecksMs: [200, 400, 600] });
  const { relay, pbx, call, story } = await stage.call((it) => it.describe(PCMU));
  const [user, agent] = [await stage.mouth(OPUS, 440), await stage.mouth(PCMU, 1_000)];
  call.startSending();
  const hush = stage.every20ms(() => {
    relay.session.sendRtp(user.packet());
    pbx.send(agent.packet());
  });
  await until(() => relay.ear.packets.length >= 45, "900 ms");
  hush();
  expect(story.checks.map(({ afterMs }) => afterMs)).toEqual([200]);
  expect(story.checks[0]?.findings.fromPbx).toBeGreaterThan(3);
});

test.concurrent("RTCP: reports both ways, with a round trip of their own, and a goodbye", async (context) => {
  const stage = await begin(context);
  const { relay, pbx, call } = await stage.call((it) => it.describe(PCMU));
  const [user, agent] = [await stage.mouth(OPUS, 440), await stage.mouth(PCMU, 1_000)];
  call.startSending();
  const hush = stage.every20ms(() => {
    relay.session.sendRtp(user.packet());
    pbx.send(agent.packet());
  });
  await until(() => relay.rtcp.length > 0 && pbx.rtcp.length > 0, "first reports");
  for (const [compound, ssrc] of [
    [relay.rtcp[0], 0x1234_5678],
    [pbx.rtcp[0], 0x1234_5678],
  ] as const) {
    const packets = parseRtcp(compound ?? Buffer.alloc(0));
    expect(packets?.map(({ type }) => type)).toEqual(["sender_report", "source_description"]);
    expect(packets?.[0]).toMatchObject({ blocks: [{ ssrc, cumulativeLost: 0, fractionLost: 0 }] });
  }
  hush();
  await call.close();
  await until(() => parseRtcp(pbx.rtcp.at(-1) ?? Buffer.alloc(0))?.at(-1)?.type === "goodbye", "BYE to the PBX");
  await until(() => parseRtcp(relay.rtcp.at(-1) ?? Buffer.alloc(0))?.at(-1)?.type === "goodbye", "BYE to WhatsApp");
});

test.concurrent("a call from which nothing authentic comes any more is dead; a goodbye is not a death", async (context) => {
  const stage = await begin(context, { deadAfterMs: 600 });
  const relay = stage.relay();
  const middleman = new Middleman(relay.port.port);
  context.onTestFinished(() => middleman.stop());
  const [candidate] = relay.offer().transport.candidates;
  if (candidate === undefined) throw new Error("the relay has no address");
  const offer = relay.offer();
  const candidates = [{ ...candidate, port: await middleman.start() }];
  const story = new Story();
  const call = await stage.plane.open("cut", { ...offer, transport: { ...offer.transport, candidates } }, story);
  relay.session.connect({ ...call.local, setup: "active" }, "server");
  call.connect();
  await until(() => story.connected && relay.connected, "ICE and DTLS");
  const user = await stage.mouth(OPUS, 440);
  call.startSending();
  await until(() => relay.ear.packets.length > 0, "our packets");
  relay.session.sendRtp(user.packet());
  await until(() => story.steps().includes("first_rtp_in"), "its packet");
  // The cable is cut.
  middleman.tamper = () => undefined;
  await until(() => story.failures.length > 0, "the failure");
  expect(story.failures.map(({ failure }) => failure)).toEqual(["media_dead"]);
  expect(story.failures[0]?.detail).toContain("nothing authentic");
  await call.close();

  const other = await stage.call((it) => it.describe(PCMU));
  other.relay.session.close();
  await until(() => other.story.failures.length > 0, "the goodbye");
  expect(other.story.failures[0]?.failure).toBe("media_closed");
});

test.concurrent("a far end that never answers fails ICE, one without the promised certificate DTLS", async (context) => {
  const stage = await begin(context, { iceTimeoutMs: 300, dtlsTimeoutMs: 600 });
  const relay = stage.relay();
  const story = new Story();
  const offer = relay.offer();
  const silent = {
    ...offer,
    transport: { ...offer.transport, candidates: [{ ...offer.transport.candidates[0], port: 9 }] },
  };
  const deaf = await stage.plane.open("deaf", silent as typeof offer, story);
  deaf.connect();
  await until(() => story.failures.length > 0, "ICE to fail");
  expect(story.failures[0]?.failure).toBe("ice_failed");
  await deaf.close();

  const other = new Story();
  const value = offer.transport.fingerprint.value.replace(/^../, (pair) => (pair === "00" ? "01" : "00"));
  const forged = { ...offer, transport: { ...offer.transport, fingerprint: { algorithm: "sha-256", value } } };
  const call = await stage.plane.open("forged", forged, other);
  relay.session.connect({ ...call.local, setup: "active" }, "server");
  call.connect();
  await until(() => other.failures.length > 0, "DTLS to fail");
  expect(other.failures[0]?.failure).toBe("dtls_failed");
  expect(other.steps()).toEqual(["ice"]);
  await call.close();
});

test.concurrent("after close the ports are free, the figures are kept and every method does nothing", async (context) => {
  const stage = await begin(context);
  const { relay, call, story } = await stage.call((it) => it.describe(PCMU));
  call.startSending();
  await until(() => relay.ear.packets.length > 3, "packets");
  const { port } = call.sipAddress;
  expect(await isFree(port)).toBe(false);
  const statistics = await call.close();
  expect(statistics.a.packetsOut).toBeGreaterThan(3);
  expect(await call.close()).toBe(statistics);
  expect(await call.statistics()).toBe(statistics);
  expect([await isFree(port), await isFree(port + 1)]).toEqual([true, true]);
  call.startSending();
  call.connect();
  call.sendDigit("a", "1", 100);
  expect(stage.plane.calls).toBe(0);
  expect((await stage.plane.counters())[0]).toMatchObject({ calls: 0, publicPort: { sessions: 0 } });
  expect(story.failures).toEqual([]);
});

test.concurrent("ports come from the range, even ones, and a used one rests; a full range is told", async (context) => {
  const stage = await begin(context, { sipPorts: { first: 21_001, last: 21_006 } });
  const open = async () => stage.plane.open("call", stage.relay().offer(), new Story());
  const calls = [await open(), await open()];
  expect(calls.map(({ sipAddress }) => sipAddress.port)).toEqual([21_002, 21_004]);
  await expect(open()).rejects.toMatchObject({ code: "media_full", retryable: true });
  await calls[0]?.close();
  await expect(open()).rejects.toMatchObject({ code: "media_full" });
});

test.concurrent("a worker that dies ends its calls, and another one takes its place", async (context) => {
  const stage = await begin(context, { workers: 2, workerEntry: new URL("./fragile-worker.ts", import.meta.url) });
  const [doomed, safe] = [new Story(), new Story()];
  const first = await stage.plane.open("doomed", stage.relay().offer(), doomed);
  const relay = stage.relay();
  const second = await stage.plane.open("safe", relay.offer(), safe);
  relay.session.connect({ ...second.local, setup: "active" }, "server");
  second.connect();
  await until(() => safe.connected, "the second call");
  first.sendDigit("a", "*", 666);
  await until(() => doomed.failures.length > 0, "the loss");
  expect(doomed.failures).toMatchObject([{ failure: "worker_lost" }]);
  expect((await first.close()).a.packetsIn).toBe(0);
  expect(safe.failures).toEqual([]);
  await until(() => stage.plane.publicPorts.length === 2, "the new worker");
  second.startSending();
  await until(() => relay.ear.packets.length > 3, "the other call goes on");
  const third = await stage.plane.open("third", stage.relay().offer(), new Story());
  await third.close();
  expect(stage.log.lines.filter(({ level }) => level === "error").map(({ message }) => message)).toEqual([
    "media worker lost",
  ]);
});

test.concurrent("a public port that is taken stops the start with its reason", async (context) => {
  const stage = await begin(context);
  const taken = new Stage({ publicPort: stage.plane.publicPorts[0] ?? 0 });
  await expect(taken.start()).rejects.toMatchObject({ code: "media_unavailable" });
  await taken.stop();
});

test.concurrent("two calls to one relay address do not disturb each other", async (context) => {
  const stage = await begin(context);
  const calls = [await stage.call((it) => it.describe(PCMU)), await stage.call((it) => it.describe(PCMU))];
  for (const { call } of calls) call.startSending();
  for (const { relay } of calls) await until(() => relay.ear.packets.length > 10, "packets");
  for (const { relay, call } of calls)
    expect(new Set(relay.ear.packets.map(({ ssrc }) => ssrc))).toEqual(new Set([call.ssrc]));
});

test.concurrent("IPv6 on both sides", async (context) => {
  const stage = await begin(context, { publicBind: ["::1"], sipBind: "::1", sipAddress: () => "::1" });
  const port = new PublicPort({ port: 0, bind6: "::1" });
  await port.start();
  const relay = new Relay(port);
  const pbx = await stage.pbx("udp6");
  const story = new Story();
  const call = await stage.plane.open("v6", relay.offer(), story);
  pbx.target = { ...call.sipAddress };
  relay.session.connect({ ...call.local, setup: "active" }, "server");
  call.connect();
  await until(() => story.connected && relay.connected, "ICE and DTLS");
  call.setSipSession(pbx.describe(PCMU), "strict");
  call.startSending();
  const [user, agent] = [await stage.mouth(OPUS, 440), await stage.mouth(PCMU, 1_000)];
  const hush = stage.every20ms(() => {
    relay.session.sendRtp(user.packet());
    pbx.send(agent.packet());
  });
  await until(() => story.steps().includes("two_way") && pbx.ear.packets.length > 10, "audio both ways");
  hush();
  expect((await call.close()).b.refused).toEqual({});
  await port.stop();
});

test.concurrent("a plane may be stopped while it starts, while a call is opened, and twice", async (context) => {
  const starting = new Stage();
  const started = starting.start().catch((error: unknown) => error);
  await starting.plane.stop();
  expect(await started).toMatchObject({ code: "media_unavailable" });
  await starting.stop();

  const stage = await begin(context);
  const opening = stage.plane.open("call", stage.relay().offer(), new Story()).catch((error: unknown) => error);
  await Promise.all([stage.plane.stop(), stage.plane.stop()]);
  await opening;
  await expect(stage.plane.open("late", stage.relay().offer(), new Story())).rejects.toMatchObject({
    code: "media_unavailable",
  });
});
