import { inflateSync } from "node:zlib";
import { encode } from "uqr";
import { beforeEach, expect, test } from "vitest";
import { qrPng } from "#sandbox/wpp/qr.ts";
import { settle, WppBench } from "./bench.ts";

let bench: WppBench;

beforeEach(() => {
  bench = new WppBench();
  bench.webhooks.setTarget({ url: "http://ponte.test/hook" });
});

const states = (): unknown[] => bench.documents().map(({ data }) => (data as { state: unknown }).state);

test("goes from nothing to connected, and tells each step", async () => {
  expect(bench.channels.create("clinic", "Clínica")).toMatchObject({ id: "clinic", state: "qr" });
  expect(bench.channels.create("clinic")).toBeUndefined();
  const qr = bench.channels.qr("clinic") ?? "";
  expect(qr).toMatch(/^2@[\w+/=]+(,[\w+/]{43}=){3}$/);
  expect(bench.channels.shows(qr)?.id).toBe("clinic");
  bench.channels.connect("clinic", "5511900000000");
  expect(bench.channels.qr("clinic")).toBeUndefined();
  expect(bench.channels.shows(qr)).toBeUndefined();
  await settle();
  expect(states()).toEqual(["qr", "connecting", "connected"]);
  expect(bench.data()).toEqual({ state: "connected", phone: "5511900000000" });
});

test("shows another code every 20 seconds, and the old one is good for nothing", () => {
  bench.channels.create("clinic");
  const first = bench.channels.qr("clinic") ?? "";
  bench.clock.advance(19_999);
  expect(bench.channels.qr("clinic")).toBe(first);
  bench.clock.advance(1);
  expect(bench.channels.shows(first)).toBeUndefined();
  expect(bench.channels.qr("clinic")).not.toBe(first);
});

test("a lost channel tells it once, and begins again with a new code", async () => {
  bench.channels.create("clinic");
  bench.channels.connect("clinic", "5511900000000");
  bench.channels.disconnect("clinic");
  bench.channels.disconnect("clinic");
  expect(bench.channels.qr("clinic")).toBeDefined();
  await settle();
  expect(states()).toEqual(["qr", "connecting", "connected", "disconnected", "qr"]);
  expect(() => bench.channels.disconnect("nowhere")).toThrow(RangeError);
});

test("the picture is a PNG with the modules of the code in it", () => {
  const text = "2@abc,def,ghi,jkl";
  const png = qrPng(text);
  expect(png.subarray(0, 8).toString("latin1")).toBe("\x89PNG\r\n\x1a\n");
  const width = png.readUInt32BE(16);
  const { data, size } = encode(text, { border: 4 });
  expect(width).toBe(size * 4);
  const start = png.indexOf("IDAT");
  const pixels = inflateSync(png.subarray(start + 4, start + 4 + png.readUInt32BE(start - 4)));
  const rowBytes = 1 + Math.ceil(width / 8);
  const isBlack = (x: number, y: number): boolean =>
    ((pixels[(y * 4 + 2) * rowBytes + 1 + ((x * 4 + 2) >> 3)] ?? 0) & (0x80 >> ((x * 4 + 2) & 7))) === 0;
  const drawn = data.map((row, y) => row.map((_, x) => isBlack(x, y)));
  expect(drawn).toEqual(data);
});
