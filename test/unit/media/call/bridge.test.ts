import { expect, test } from "vitest";
import { RtpView } from "#core/rtp/packet.ts";
import { Reception } from "#core/rtp/reception.ts";
import type { SipMedia, WhatsAppOffer } from "#core/sdp/session.ts";
import { Bridge } from "#media/call/bridge.ts";
import { Waiting } from "#media/stage/intake.ts";
import type { Sink } from "#media/stage/sink.ts";
import { CodecLoad } from "#media/worker/codec-load.ts";
import { incoming, outgoing } from "#test/unit/media/stage/support.ts";

const offer: WhatsAppOffer = {
  mid: "audio",
  transport: {
    ufrag: "u",
    pwd: "p",
    lite: true,
    setup: "actpass",
    candidates: [],
    fingerprint: { algorithm: "sha-256", value: "00" },
  },
  audio: { codec: "opus", payloadType: 111, clockRate: 48_000 },
  digits: { payloadType: 126, clockRate: 8_000 },
  ptimeMs: 20,
};

function pbx(codec: "opus" | "PCMU" | "PCMA", more: Partial<SipMedia> = {}): SipMedia {
  const payloadType = { opus: 107, PCMU: 0, PCMA: 8 }[codec];
  const clockRate = codec === "opus" ? 48_000 : 8_000;
  return {
    address: "192.0.2.1",
    port: 4_000,
    rtcpPort: 4_001,
    audio: { codec, payloadType, clockRate },
    digits: { payloadType: 101, clockRate: 8_000 },
    direction: "sendrecv",
    ptimeMs: 20,
    ...more,
  };
}

function setUp() {
  const toWhatsApp = outgoing(48_000);
  const toPbx = outgoing(8_000);
  const receptions = { a: new Reception(), b: new Reception() };
  const a = { reception: receptions.a, out: toWhatsApp.out, sink: new Waiting(receptions.a) as Sink };
  const b = { reception: receptions.b, out: toPbx.out, sink: new Waiting(receptions.b) as Sink };
  const digits: string[] = [];
  const bridge = new Bridge({
    a,
    b,
    codecs: new CodecLoad(),
    now: () => 0,
    onDigit: (side, digit) => digits.push(`${side}${digit}`),
  });
  return { a, b, bridge, toWhatsApp: toWhatsApp.sent, toPbx: toPbx.sent, receptions, digits };
}

const silence = new Uint8Array(160).fill(0xff);

test("formats decide what is joined, again at every description", async () => {
  const { a, b, bridge, toWhatsApp, toPbx } = setUp();
  a.sink.take(incoming({ sequence: 1, timestamp: 0, payloadType: 111 }));
  expect(toPbx).toEqual([]);
  for (const [index, codec] of (["PCMU", "opus", "PCMA"] as const).entries()) {
    const session = pbx(codec);
    await bridge.join(offer, session);
    expect(bridge.transcoding).toBe(codec !== "opus");
    const payload = codec === "opus" ? Uint8Array.of(0xf8, 0xff, 0xfe) : silence;
    a.sink.take(
      incoming({
        sequence: 10 + index,
        timestamp: 960 * index,
        payloadType: 111,
        payload: Uint8Array.of(0xf8, 0xff, 0xfe),
      }),
    );
    b.sink.take(incoming({ sequence: 10 + index, timestamp: 0, payloadType: session.audio.payloadType, payload }));
    expect(toPbx.at(-1)).toMatchObject({ payloadType: session.audio.payloadType });
    expect(toPbx.at(-1)?.payload.length).toBe(codec === "opus" ? 3 : 160);
    expect(toWhatsApp).toHaveLength(index + 1);
  }
  bridge.close();
  b.sink.take(incoming({ sequence: 20, timestamp: 0, payloadType: 8, payload: silence }));
  expect([toWhatsApp.length, bridge.transcoding]).toEqual([3, false]);
});

test("of two descriptions in a hurry the last one holds", async () => {
  const { a, bridge, toPbx } = setUp();
  const joins = [bridge.join(offer, pbx("PCMU")), bridge.join(offer, pbx("PCMA")), bridge.join(offer, pbx("opus"))];
  await Promise.all(joins);
  expect(bridge.transcoding).toBe(false);
  a.sink.take(incoming({ sequence: 1, timestamp: 0, payloadType: 111 }));
  expect(toPbx.at(-1)).toMatchObject({ payloadType: 107 });
  bridge.close();
});

test("frames towards the PBX have the length that it asked for", async () => {
  const { a, bridge, toPbx } = setUp();
  await bridge.join(offer, pbx("PCMU", { ptimeMs: 30 }));
  for (let n = 0; n < 6; n += 1)
    a.sink.take(
      incoming({ sequence: n, timestamp: n * 960, payloadType: 111, payload: Uint8Array.of(0xf8, 0xff, 0xfe) }),
    );
  expect(toPbx.map(({ payload }) => payload.length)).toEqual([240, 240, 240, 240]);
  bridge.close();
});

test("payload types that nobody agreed on are counted, and are no loss", async () => {
  const { b, bridge, receptions } = setUp();
  await bridge.join(offer, pbx("PCMU"));
  b.sink.take(incoming({ sequence: 1, timestamp: 0, payloadType: 0, payload: silence }));
  b.sink.take(incoming({ sequence: 2, timestamp: 160, payloadType: 13, payload: Uint8Array.of(60) }));
  b.sink.take(incoming({ sequence: 3, timestamp: 160, payloadType: 0, payload: silence }));
  expect([bridge.unknownOf("b"), bridge.unknownOf("a"), receptions.b.lost, bridge.counts().concealedFrames]).toEqual([
    1, 0, 0, 0,
  ]);
  bridge.close();
});

test("whatever comes, nothing is thrown and what is sent is RTP (seeded garbage)", async () => {
  let state = 5;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state >>> 8) % below;
  };
  for (const codec of ["PCMU", "opus"] as const) {
    const { a, b, bridge, toPbx, toWhatsApp } = setUp();
    await bridge.join(offer, pbx(codec));
    const view = new RtpView();
    for (let n = 0; n < 3_000; n += 1) {
      const bytes = Buffer.from(Array.from({ length: 12 + random(200) }, () => random(256)));
      const types = random(2) === 0 ? [111, 126] : [pbx(codec).audio.payloadType, 101];
      bytes[0] = 0x80 | (random(8) === 0 ? random(64) : 0);
      bytes[1] = (types[random(2)] ?? 0) | (random(4) === 0 ? 128 : 0);
      if (random(3) > 0) bytes.writeUInt32BE(7, 8);
      if (random(3) > 0) bytes.writeUInt16BE(n & 0xffff, 2);
      if (!view.read(bytes, n * 20)) continue;
      if (types[0] === 111) a.sink.take(view);
      else b.sink.take(view);
      bridge.tick(n * 20);
    }
    expect(toPbx.length).toBeGreaterThan(100);
    expect(toWhatsApp.length).toBeGreaterThan(100);
    bridge.close();
  }
});
