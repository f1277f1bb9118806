import { createSocket, type Socket } from "node:dgram";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { listen, ToneGenerator } from "#core/audio/tone.ts";
import { decodeG711, encodeG711, type G711 } from "#core/codec/g711.ts";
import type { CodecName } from "#core/sdp/session.ts";
import { writeSipOffer } from "#core/sdp/sip-offer.ts";
import type { SipLegPort } from "#engine/ports.ts";
import { DemoPbx, type DemoPbxAddress } from "#sandbox/pbx/demo-pbx.ts";
import { toneOfKey } from "#sandbox/pbx/numbers.ts";
import { Cleanup, dialRequest, fastClock, hungUp, startEdge, Told, type World } from "#test/protocol/sip/support.ts";
import { quietLog } from "#test/support/quiet-log.ts";

interface Packet {
  readonly marker: boolean;
  readonly payloadType: number;
  readonly sequence: number;
  readonly timestamp: number;
  readonly ssrc: number;
  readonly payload: Buffer;
}

/** A caller's ear and mouth: reads and writes RTP by hand. */
class Caller {
  readonly packets: Packet[] = [];
  readonly #socket: Socket;
  #target = 0;
  #sequence = 65_530;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("message", (bytes) => {
      this.packets.push({
        marker: bytes.readUInt8(1) >= 128,
        payloadType: bytes.readUInt8(1) & 127,
        sequence: bytes.readUInt16BE(2),
        timestamp: bytes.readUInt32BE(4),
        ssrc: bytes.readUInt32BE(8),
        payload: Buffer.from(bytes.subarray(12)),
      });
    });
  }

  static async open(): Promise<Caller> {
    const socket = createSocket("udp4");
    await new Promise<void>((resolve) => {
      socket.bind(0, "127.0.0.1", resolve);
    });
    return new Caller(socket);
  }

  offer(codecs: readonly CodecName[]): string {
    const { port } = this.#socket.address();
    return writeSipOffer({ address: "127.0.0.1", port, codecs, sessionId: "1", version: 0, direction: "sendrecv" });
  }

  talkTo(sdp: string): void {
    this.#target = Number(/^m=audio (\d+)/m.exec(sdp)?.[1]);
  }

  send(payloadType: number, timestamp: number, payload: Uint8Array, marker = false): void {
    const header = Buffer.alloc(12);
    header.writeUInt8(0x80, 0);
    header.writeUInt8(payloadType | (marker ? 128 : 0), 1);
    header.writeUInt16BE(this.#sequence, 2);
    header.writeUInt32BE(timestamp, 4);
    header.writeUInt32BE(0x1234, 8);
    this.#sequence = (this.#sequence + 1) & 0xffff;
    this.#socket.send(Buffer.concat([header, payload]), this.#target, "127.0.0.1");
  }

  /** One key as three telephone-event packets and three ends (RFC 4733 §2.5). */
  press(event: number, timestamp: number): void {
    for (const duration of [160, 320, 480]) {
      this.send(101, timestamp, Buffer.from([event, 10, duration >> 8, duration & 255]), duration === 160);
    }
    for (let end = 0; end < 3; end += 1) this.send(101, timestamp, Buffer.from([event, 0x8a, 2, 128]));
  }

  /** What was heard of one format, as PCM. */
  pcm(codec: G711): Int16Array {
    const type = codec === "PCMU" ? 0 : 8;
    const bytes = Buffer.concat(this.packets.filter((each) => each.payloadType === type).map((each) => each.payload));
    const samples = new Int16Array(bytes.length);
    decodeG711(codec, bytes, samples);
    return samples;
  }

  /** Keys that were heard: one for each timestamp of telephone-events. */
  keys(): string {
    const byTimestamp = new Map(this.#events().map((each) => [each.timestamp, each.payload[0] ?? 0]));
    return [...byTimestamp.values()].map((event) => "0123456789*#ABCD"[event]).join("");
  }

  #events(): readonly Packet[] {
    return this.packets.filter((each) => each.payloadType === 101);
  }

  eventPackets(): readonly Packet[] {
    return this.#events();
  }

  close(): void {
    this.#socket.close();
  }
}

const cleanup = new Cleanup();
let caller: Caller;
let pbx: DemoPbx;
let world: World;
let told: Told;
let leg: SipLegPort | undefined;

async function start(factor = 1): Promise<void> {
  pbx = cleanup.add(new DemoPbx({ log: quietLog(), clock: fastClock(factor) }), (each) => each.stop());
  const address: DemoPbxAddress = await pbx.start();
  world = await startEdge(cleanup, { port: address.port });
}

async function call(number: string, codecs: readonly CodecName[] = ["PCMU", "PCMA"]): Promise<void> {
  told = new Told();
  leg = world.edge.dial(dialRequest(number, { sdp: caller.offer(codecs) }), told);
  await told.until(/^(answered|failed)/);
  caller.talkTo(told.sdp);
}

beforeEach(async () => {
  caller = cleanup.add(await Caller.open(), (each) => each.close());
});
afterEach(async () => {
  await leg?.hangUp(hungUp);
  leg = undefined;
  await expect.poll(() => pbx.counters()).toEqual({ calls: 0, dialogs: 0 });
  await cleanup.run();
});

describe("the caller hears", () => {
  test.each([
    ["601", "PCMU", 1_004],
    ["601", "PCMA", 1_004],
    ["602440", "PCMU", 440],
    ["6021500", "PCMA", 1_500],
  ] as const)("%s over %s as %d Hz, evenly paced", async (number, codec, hz) => {
    await start();
    await call(number, [codec]);
    await expect.poll(() => caller.packets.length, { timeout: 3_000 }).toBeGreaterThan(25);
    const heard = listen(caller.pcm(codec), 8_000, hz);
    expect(Math.abs(heard.hz - hz)).toBeLessThanOrEqual(2);
    expect(heard.snrDb).toBeGreaterThan(30);
    expect(heard.longestGapMs).toBeLessThan(20);
    const first = caller.packets[0];
    for (const [index, packet] of caller.packets.entries()) {
      expect(packet.sequence).toBe(((first?.sequence ?? 0) + index) & 0xffff);
      expect(packet.timestamp).toBe(((first?.timestamp ?? 0) + index * 160) >>> 0);
      expect([packet.ssrc, packet.marker]).toEqual([first?.ssrc, index === 0]);
    }
  });

  test("his own voice from 600", async () => {
    await start();
    await call("600");
    const tone = new ToneGenerator(700, 8_000);
    const sent: Uint8Array[] = [];
    for (let index = 0; index < 15; index += 1) {
      const payload = new Uint8Array(160);
      encodeG711("PCMU", tone.fill(new Int16Array(160)), payload);
      sent.push(payload);
      caller.send(0, (4_294_967_000 + index * 160) >>> 0, payload);
    }
    await expect.poll(() => caller.packets.length).toBe(15);
    expect(caller.packets.map((each) => [...each.payload])).toEqual(sent.map((each) => [...each]));
    const stamps = caller.packets.map((each) => each.timestamp);
    expect(stamps.map((each) => (each - (stamps[0] ?? 0)) >>> 0)).toEqual(stamps.map((_, index) => index * 160));
    expect(caller.packets[0]?.ssrc).not.toBe(0x1234);
  });

  test("Opus from 600 as it was sent, and nothing of another format", async () => {
    await start();
    await call("600", ["opus", "PCMU"]);
    expect(told.lines).toEqual(["answered opus"]);
    caller.send(0, 0, Buffer.alloc(160));
    caller.send(107, 960, Buffer.from("opus frame"));
    await expect.poll(() => caller.packets.length).toBe(1);
    expect(caller.packets[0]?.payload.toString()).toBe("opus frame");
  });

  test("silence from 604", async () => {
    await start();
    await call("604");
    await expect.poll(() => caller.packets.length).toBeGreaterThan(5);
    expect(listen(caller.pcm("PCMU"), 8_000).hz).toBe(0);
  });
});

describe("digits", () => {
  test("typed at 610 come back as digits and as tones, up to #", async () => {
    await start(4);
    await call("610");
    caller.press(4, 1_000);
    caller.press(2, 3_000);
    caller.press(11, 5_000);
    await told.end();
    expect(told.lines).toEqual(["answered PCMU", "ended by pbx q.850 16"]);
    expect(caller.keys()).toBe("42");
    const samples = caller.pcm("PCMU");
    const heard = [toneOfKey("4"), toneOfKey("2")].map((hz) => listen(samples, 8_000, hz).longestGapMs < 2_000);
    expect(heard).toEqual([true, true]);
    expect([listen(samples.slice(0, samples.length / 2), 8_000).hz, toneOfKey("4")]).toEqual([900, 900]);
  });

  test("typed at 610 end after four", async () => {
    await start(8);
    await call("610");
    for (let key = 1; key <= 5; key += 1) caller.press(key, key * 2_000);
    await told.end();
    expect(caller.keys()).toBe("1234");
  });

  test("of 611 come once each and in order, by the rules of RFC 4733", async () => {
    await start(8);
    await call("611");
    await told.end();
    expect(caller.keys()).toBe("0123456789*#ABCD");
    const events = caller.eventPackets();
    for (const timestamp of new Set(events.map((each) => each.timestamp))) {
      const packets = events.filter((each) => each.timestamp === timestamp);
      expect(packets.filter((each) => each.marker)).toEqual([packets[0]]);
      expect(packets.filter((each) => ((each.payload[1] ?? 0) & 128) !== 0)).toHaveLength(3);
    }
  });
});

test("an offer without a format of the number is refused", async () => {
  await start();
  await call("601", ["opus"]);
  expect(told.lines).toEqual(["failed 488 q.850 88"]);
});

test("after hold and back at 620 the caller is echoed", async () => {
  await start(8);
  told = new Told();
  const sdp = caller.offer(["PCMU"]);
  told.answerOffer = async () => sdp;
  leg = world.edge.dial(dialRequest("620", { sdp }), told);
  await told.until(/^answered/);
  caller.talkTo(told.sdp);
  await told.until(/^offered PCMU sendonly/);
  await told.until(/^offered PCMU sendrecv/);
  expect(Math.abs(listen(caller.pcm("PCMU"), 8_000, 440).hz - 440)).toBeLessThanOrEqual(2);
  await expect
    .poll(() => {
      caller.send(0, 0, Buffer.from("hello"));
      return caller.packets.at(-1)?.payload.toString();
    })
    .toBe("hello");
});

test("the PBX that stops hangs up its calls", async () => {
  await start();
  await call("601");
  await pbx.stop();
  expect(await told.end()).toBe("ended by pbx q.850 41");
  await pbx.stop();
  expect(pbx.counters()).toEqual({ calls: 0, dialogs: 0 });
});
