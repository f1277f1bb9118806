import { expect, test } from "vitest";
import { looksLikeRtcp, RtpView, writeRtpHeader } from "#core/rtp/packet.ts";
import { sequenceDistance, timestampDistance } from "#core/rtp/serial.ts";

/** Header words by hand (RFC 3550 §5.1), then `rest`. */
function packet(first: number, second: number, ...rest: number[]): Buffer {
  return Buffer.from([first, second, 0x12, 0x34, 0xff, 0, 0, 1, 0xde, 0xad, 0xbe, 0xef, ...rest]);
}

const good = [
  { name: "plain", bytes: packet(0x80, 111, 1, 2, 3), start: 12, end: 15 },
  { name: "empty payload", bytes: packet(0x80, 111), start: 12, end: 12 },
  { name: "two CSRCs", bytes: packet(0x82, 111, ...Array(8).fill(9), 1), start: 20, end: 21 },
  { name: "extension of one word", bytes: packet(0x90, 111, 0xbe, 0xde, 0, 1, 9, 9, 9, 9, 1, 2), start: 20, end: 22 },
  { name: "padding", bytes: packet(0xa0, 111, 1, 2, 0, 0, 3), start: 12, end: 14 },
  { name: "nothing but padding", bytes: packet(0xa0, 111, 0, 0, 3), start: 12, end: 12 },
];

test.each(good)("reads a packet: $name", ({ bytes, start, end }) => {
  const view = new RtpView();
  expect(view.read(bytes, 7)).toBe(true);
  expect(view).toMatchObject({ payloadType: 111, marker: false, sequence: 0x1234, timestamp: 0xff000001, at: 7 });
  expect([view.ssrc, view.start, view.end]).toEqual([0xdeadbeef, start, end]);
});

const bad = [
  { name: "too short", bytes: packet(0x80, 111).subarray(0, 11) },
  { name: "version 1", bytes: packet(0x40, 111, 1) },
  { name: "CSRCs beyond the end", bytes: packet(0x8f, 111, 1, 2) },
  { name: "extension header cut", bytes: packet(0x90, 111, 0xbe, 0xde) },
  { name: "extension beyond the end", bytes: packet(0x90, 111, 0xbe, 0xde, 0xff, 0xff, 0) },
  { name: "padding of zero", bytes: packet(0xa0, 111, 1, 0) },
  { name: "padding longer than the payload", bytes: packet(0xa0, 111, 1, 3) },
];

test.each(bad)("refuses a packet: $name", ({ bytes }) => {
  expect(new RtpView().read(bytes, 0)).toBe(false);
});

test("what is written is read back, modulo the widths of the fields", () => {
  const bytes = Buffer.alloc(20, 0xaa);
  writeRtpHeader(bytes, 4, true, 126, 0x1_2345, 2 ** 32 + 5, 0xfedc_ba98);
  const view = new RtpView();
  expect(view.read(bytes.subarray(4), 0)).toBe(true);
  expect(view).toMatchObject({ marker: true, payloadType: 126, sequence: 0x2345, timestamp: 5, ssrc: 0xfedc_ba98 });
  expect(bytes.subarray(0, 4)).toEqual(Buffer.alloc(4, 0xaa));
});

test("serial numbers wrap (RFC 1982)", () => {
  expect([sequenceDistance(65_535, 0), sequenceDistance(0, 65_535), sequenceDistance(5, 5)]).toEqual([1, -1, 0]);
  expect(sequenceDistance(0, 32_767)).toBe(32_767);
  expect([timestampDistance(2 ** 32 - 480, 480), timestampDistance(480, 2 ** 32 - 480)]).toEqual([960, -960]);
});

test("RTCP is told from RTP by its packet type (RFC 5761 §4)", () => {
  expect([192, 200, 207, 223].map((type) => looksLikeRtcp(Uint8Array.of(0x80, type)))).toEqual([
    true,
    true,
    true,
    true,
  ]);
  expect([111, 0x80 | 111, 0x80, 126].map((type) => looksLikeRtcp(Uint8Array.of(0x80, type)))).toEqual([
    false,
    false,
    false,
    false,
  ]);
});
