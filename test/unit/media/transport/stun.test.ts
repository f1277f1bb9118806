import { expect, test } from "vitest";
import { addressBytes, addressText, canonicalAddress } from "#media/transport/address.ts";
import { packetKind } from "#media/transport/demux.ts";
import { buildStun, parseStun, receiverUfrag, stunIntegrity } from "#media/transport/stun.ts";
import { hex, mutate, seededRandom } from "./support.ts";

/** RFC 5769 §2.1 to §2.3. */
const password = "VOkJxbRl1RmTxUk/WvJxBt";
const request = hex(`
  00010058 2112a442 b7e7a701 bc34d686 fa87dfae 80220010 5354554e 20746573 7420636c 69656e74 00240004 6e0001ff
  80290008 932ff9b1 51263b36 00060009 6576746a 3a683676 59202020 00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249
  c1b571a2 80280004 e57a3bcf`);
const response4 = hex(`
  0101003c 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 746f7220 00200008 0001a147 e112a643
  00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7 80280004 c07d4c96`);
const response6 = hex(`
  01010048 2112a442 b7e7a701 bc34d686 fa87dfae 8022000b 74657374 20766563 746f7220 00200014 0002a147 0113a9fa
  a5d3f179 bc25f4b5 bed2b9d9 00080014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41 80280004 c8fb0b4c`);

test("reads the request of RFC 5769 §2.1", () => {
  const message = parseStun(request);
  expect(message).toMatchObject({
    class: "request",
    transactionId: "b7e7a701bc34d686fa87dfae",
    username: "evtj:h6vY",
    priority: 0x6e0001ff,
    iceControlled: 0x932ff9b151263b36n,
    iceControlling: undefined,
    useCandidate: false,
    unknown: [],
    fingerprintFits: true,
  });
  expect(message && stunIntegrity(request, message, password)).toBe("valid");
  expect(message && stunIntegrity(request, message, `${password}x`)).toBe("wrong");
});

test.each([
  ["§2.2", response4, "192.0.2.1"],
  ["§2.3", response6, "2001:db8:1234:5678:11:2233:4455:6677"],
])("reads the response of RFC 5769 %s", (_section, packet, address) => {
  const message = parseStun(packet);
  expect(message).toMatchObject({ class: "success", mappedAddress: { address, port: 32_853 }, fingerprintFits: true });
  expect(message && stunIntegrity(packet, message, password)).toBe("valid");
});

test("reads back what it builds", () => {
  const transactionId = "00112233445566778899aabb";
  const pairs = [
    { class: "request", username: "a:b", priority: 7, useCandidate: true, iceControlling: 5n },
    { class: "success", mappedAddress: { address: "::1", port: 65_535 } },
    { class: "success", mappedAddress: { address: "255.255.255.255", port: 0 } },
    { class: "indication" },
  ] as const;
  for (const content of pairs) {
    const packet = buildStun({ transactionId, ...content }, "pwd=");
    const message = parseStun(packet);
    expect(message).toMatchObject({ transactionId, ...content, fingerprintFits: true });
    expect(message && stunIntegrity(packet, message, "pwd=")).toBe("valid");
  }
  const error = buildStun({ class: "error", transactionId, error: { code: 487, reason: "Role Conflict" } }, "p");
  expect(parseStun(error)).toMatchObject({ class: "error", errorCode: 487 });
});

test("tells a missing integrity from a wrong one, and checks the fingerprint", () => {
  const unsigned = buildStun({ class: "request", transactionId: "00".repeat(12), username: "a:b" }, undefined);
  const message = parseStun(unsigned);
  expect(message && stunIntegrity(unsigned, message, "p")).toBe("missing");
  const broken = Buffer.from(request);
  broken[broken.length - 1] = 0;
  const parsed = parseStun(broken);
  expect(parsed?.fingerprintFits).toBe(false);
  expect(parsed && stunIntegrity(broken, parsed, password)).toBe("wrong");
});

test("believes nothing that follows MESSAGE-INTEGRITY (RFC 8489 §14.5)", () => {
  const signed = buildStun({ class: "request", transactionId: "00".repeat(12), username: "a:b" }, "p");
  const body = signed.subarray(0, signed.length - 8);
  const smuggled = Buffer.concat([body, hex("00250000")]);
  smuggled.writeUInt16BE(smuggled.length - 20, 2);
  const message = parseStun(smuggled);
  expect(message && stunIntegrity(smuggled, message, "p")).toBe("valid");
  expect(message?.useCandidate).toBe(false);
});

test("names attributes that it would have to understand (RFC 8489 §14)", () => {
  const packet = hex("0001 0008 2112a442 000000000000000000000000 7fff 0000 ffff 0000");
  expect(parseStun(packet)?.unknown).toEqual([0x7fff]);
});

test.each([
  ["empty", ""],
  ["a header cut short", "00010000 2112a442 00000000"],
  ["a length that lies", "00010004 2112a442 000000000000000000000000"],
  ["another cookie", "00010000 2112a443 000000000000000000000000"],
  ["another method (TURN Allocate)", "00030000 2112a442 000000000000000000000000"],
  ["an attribute beyond the end", "00010004 2112a442 000000000000000000000000 00060010"],
  ["an integrity of 19 bytes", `00010018 2112a442 ${"00".repeat(12)} 00080013 ${"00".repeat(20)}`],
  ["a fingerprint before the end", `0001000c 2112a442 ${"00".repeat(12)} 80280004 00000000 00250000`],
])("refuses %s", (_name, bytes) => {
  expect(parseStun(hex(bytes))).toBeUndefined();
});

test("6000 mutated messages neither throw nor pass as signed", () => {
  const random = seededRandom("stun garbage");
  let passed = 0;
  for (let n = 0; n < 2_000; n += 1) {
    for (const original of [request, response4, response6]) {
      const packet = mutate(original, random);
      const message = parseStun(packet);
      const signed = message !== undefined && stunIntegrity(packet, message, password) === "valid";
      // What is covered by the integrity must be untouched; the fingerprint may have been cut off, which is allowed.
      if (signed) {
        const covered = original.subarray(4, original.length - 8);
        expect(packet.subarray(4, covered.length + 4)).toEqual(covered);
        passed += 1;
      }
    }
  }
  expect(passed).toBeLessThan(300);
});

test.each([
  ["00", "stun"],
  ["03", "stun"],
  ["04", "unknown"],
  ["13", "unknown"],
  ["14", "dtls"],
  ["3f", "dtls"],
  ["40", "unknown"],
  ["7f", "unknown"],
  ["80", "rtp"],
  ["806f", "rtp"],
  ["80ef", "rtp"],
  ["80c8", "rtcp"],
  ["81c9", "rtcp"],
  ["80df", "rtcp"],
  ["80e0", "rtp"],
  ["bf", "rtp"],
  ["c0", "unknown"],
  ["", "unknown"],
])("a packet that starts with %s is %s (RFC 7983 §7, RFC 5761 §4)", (bytes, kind) => {
  expect(packetKind(hex(bytes))).toBe(kind);
});

test("addresses have one spelling", () => {
  expect(canonicalAddress("2001:0DB8:0:0::1")).toBe("2001:db8::1");
  expect(canonicalAddress("192.0.2.1")).toBe("192.0.2.1");
  for (const address of ["192.0.2.1", "::", "::1", "2001:db8::1", "fe80::1:2:3:4", "::ffff:192.0.2.1"]) {
    expect(addressText(addressBytes(address))).toBe(address);
  }
  expect(receiverUfrag("me:you")).toBe("me");
  expect([receiverUfrag("me"), receiverUfrag(":you"), receiverUfrag(undefined)]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});
