import { createSocket } from "node:dgram";
import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AudioFormat, Direction } from "#core/sdp/session.ts";
import { LOOPBACK, OPUS, OPUS_OF_PBX, PCMA, PCMU, Stage, until } from "./support.ts";

const stage = new Stage({ latching: "auto" });
beforeAll(async () => stage.start());
afterAll(async () => stage.stop());

/** Somebody else on the same host. */
async function stranger(port: number) {
  const socket = createSocket("udp4");
  const heard: Buffer[] = [];
  socket.on("message", (packet) => heard.push(packet));
  socket.bind(0, LOOPBACK);
  await once(socket, "listening");
  return {
    heard,
    port: socket.address().port,
    send: (packet: Buffer) => socket.send(packet, port, LOOPBACK),
    stop: async () => {
      socket.close();
      await once(socket, "close");
    },
  };
}

test.concurrent("a stranger on the SIP port is counted and neither heard nor sent to", async () => {
  const { relay, pbx, call } = await stage.call((it) => it.describe(PCMU));
  const agent = await stage.mouth(PCMU, 1_000);
  const intruder = await stage.mouth(PCMU, 2_000, { ssrc: 0x6666_6666 });
  const other = await stranger(call.sipAddress.port);
  call.startSending();
  const hush = stage.every20ms(() => pbx.send(agent.packet()));
  await until(() => pbx.ear.packets.length > 5 && relay.ear.packets.length > 10, "audio");
  let sent = 0;
  const hushOther = stage.every20ms(() => {
    if (sent++ < 50) other.send(intruder.packet());
  });
  await until(() => relay.ear.packets.length >= 80, "more audio");
  hush();
  hushOther();
  const heard = await relay.ear.listen(OPUS, 1_000, 20);
  const statistics = await call.close();
  await other.stop();
  expect(Math.abs(heard.hz - 1_000)).toBeLessThanOrEqual(5);
  expect(heard.snrDb).toBeGreaterThan(15);
  expect(other.heard).toEqual([]);
  expect(statistics.b.refused["strangers"]).toBeGreaterThan(20);
  expect(statistics.b.lost).toBe(0);
});

test.concurrent("auto latches to where valid RTP really comes from, strict does not", async () => {
  for (const latching of ["auto", "strict"] as const) {
    const { relay, pbx, call } = await stage.call((it) => it.describe(PCMU));
    // Behind NAT: the announced port is nobody's.
    call.setSipSession(pbx.describe(PCMU, { port: 9 }), latching);
    const agent = await stage.mouth(PCMU, 1_000);
    call.startSending();
    let sent = 0;
    const hush = stage.every20ms(() => {
      // Not the negotiated payload type: nobody becomes the PBX by that.
      const packet = agent.packet();
      if (sent++ < 5) packet[1] = 96;
      pbx.send(packet);
    });
    await until(() => sent > 40 && relay.ear.packets.length > 40, "packets of the PBX");
    hush();
    const statistics = await call.close();
    if (latching === "auto") {
      expect(statistics.b.packetsIn).toBeGreaterThan(30);
      expect(statistics.b.refused).toEqual({ strangers: 5 });
      expect(pbx.ear.packets.length).toBeGreaterThan(20);
    } else {
      expect(statistics.b.packetsIn).toBe(0);
      expect(statistics.b.refused["strangers"]).toBeGreaterThan(30);
      expect(pbx.ear.packets).toEqual([]);
    }
  }
});

test.concurrent("a codec change by re-INVITE is heard, and the WhatsApp side sees one stream", async () => {
  const { relay, pbx, call, story } = await stage.call((it) => it.describe(PCMU));
  const user = await stage.mouth(OPUS, 440);
  call.startSending();
  const changes: readonly AudioFormat[] = [PCMU, OPUS_OF_PBX, PCMA, PCMU];
  for (const audio of changes) {
    const from = { relay: relay.ear.packets.length, pbx: pbx.ear.packets.length };
    call.setSipSession(pbx.describe(audio), "auto");
    const agent = await stage.mouth(audio, 1_000);
    const hush = stage.every20ms(() => {
      pbx.send(agent.packet());
      relay.session.sendRtp(user.packet());
    });
    await until(() => pbx.ear.of(audio.payloadType, from.pbx).length >= 60, `the PBX hears ${audio.codec}`);
    await until(() => relay.ear.packets.length - from.relay >= 60, "WhatsApp hears");
    hush();
    const atUser = await relay.ear.listen(OPUS, 1_000, from.relay + 15);
    const atPbx = await pbx.ear.listen(audio, 440, from.pbx + 15);
    expect(Math.abs(atUser.hz - 1_000)).toBeLessThanOrEqual(5);
    expect(Math.abs(atPbx.hz - 440)).toBeLessThanOrEqual(5);
    // Below 1 s of a pure tone, a fresh encoder at 20 kbit/s has not settled yet.
    expect(atUser.snrDb).toBeGreaterThan(10);
    expect(atPbx.snrDb).toBeGreaterThan(15);
  }
  const statistics = await call.close();
  expect(new Set(relay.ear.packets.map(({ ssrc }) => ssrc)).size).toBe(1);
  expect(new Set(relay.ear.packets.map(({ payloadType }) => payloadType))).toEqual(new Set([111]));
  expect(new Set(pbx.ear.packets.map(({ ssrc }) => ssrc)).size).toBe(1);
  for (const [index, packet] of relay.ear.packets.entries()) {
    const before = relay.ear.packets[index - 1];
    if (before !== undefined) expect((packet.sequence - before.sequence) & 0xffff).toBe(1);
  }
  expect(statistics.a.refused).toEqual({});
  expect(story.failures).toEqual([]);
});

/** What the PBX said → who may send. */
const holds: readonly { readonly direction: Direction; readonly toPbx: boolean; readonly fromPbx: boolean }[] = [
  { direction: "sendonly", toPbx: false, fromPbx: true },
  { direction: "recvonly", toPbx: true, fromPbx: false },
  { direction: "inactive", toPbx: false, fromPbx: false },
  { direction: "sendrecv", toPbx: true, fromPbx: true },
];

test.concurrent("hold: audio goes where the PBX's direction allows it, and WhatsApp always gets packets", async () => {
  const { relay, pbx, call } = await stage.call((it) => it.describe(PCMU));
  const user = await stage.mouth(OPUS, 440);
  const agent = await stage.mouth(PCMU, 1_000);
  call.startSending();
  const hush = stage.every20ms(() => {
    pbx.send(agent.packet());
    relay.session.sendRtp(user.packet());
  });
  await until(() => pbx.ear.packets.length > 10, "a call before the hold");
  for (const { direction, toPbx, fromPbx } of holds) {
    call.setSipSession(pbx.describe(PCMU, { direction }), "auto");
    await call.statistics();
    const before = { pbx: pbx.ear.packets.length, relay: relay.ear.packets.length };
    await until(() => relay.ear.packets.length >= before.relay + 40, "WhatsApp gets packets");
    const sentToPbx = pbx.ear.packets.length - before.pbx;
    const heard = await relay.ear.listen(OPUS, 1_000, before.relay + 12);
    if (toPbx) expect(sentToPbx).toBeGreaterThan(20);
    else expect(sentToPbx).toBeLessThanOrEqual(1);
    expect({ direction, hz: Math.abs(heard.hz - 1_000) <= 5 ? 1_000 : heard.hz }).toEqual({
      direction,
      hz: fromPbx ? 1_000 : 0,
    });
  }
  hush();
  const statistics = await call.close();
  expect(statistics.b.refused["on_hold"]).toBeGreaterThan(40);
});
