import { createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import { RtpHeader, RtpPacket, SrtpSession } from "werift";
import { counterMode, encryptBlock, expandKey } from "#media/transport/srtp/aes.ts";
import { deriveKey, type SrtpMaster } from "#media/transport/srtp/keys.ts";
import { hmacKey, hmacSha1 } from "#media/transport/srtp/sha1.ts";
import { SRTCP_OVERHEAD_BYTES, SrtcpContext } from "#media/transport/srtp/srtcp.ts";
import {
  estimateIndex,
  MAX_SSRCS,
  SRTP_FORGED,
  SRTP_MALFORMED,
  SRTP_REPLAYED,
  SRTP_TOO_MANY_SOURCES,
  SrtpContext,
  TAG_BYTES,
} from "#media/transport/srtp/srtp.ts";
import { hex, mutate, seededRandom } from "./support.ts";

/** RFC 3711 Appendix B.3. */
const master: SrtpMaster = {
  key: hex("E1F97A0D3E018BE0D64FA32C06DE4139"),
  salt: hex("0EC675AD498AFEEBB6960B3AABE6"),
};

function rtp(sequence: number, payload: Buffer = Buffer.alloc(60, 0x5a), ssrc = 0xcafebabe): Buffer {
  const packet = Buffer.alloc(12 + payload.length);
  packet[0] = 0x80;
  packet[1] = 111;
  packet.writeUInt16BE(sequence & 0xffff, 2);
  packet.writeUInt32BE((sequence * 960) >>> 0, 4);
  packet.writeUInt32BE(ssrc, 8);
  payload.copy(packet, 12);
  return packet;
}

function protect(context: SrtpContext, packet: Buffer): Buffer {
  const room = Buffer.concat([packet, Buffer.alloc(TAG_BYTES)]);
  const length = context.protect(room, packet.length);
  expect(length).toBe(packet.length + TAG_BYTES);
  return room.subarray(0, length);
}

describe("primitives", () => {
  test("AES-128 of FIPS 197 Appendix C.1", () => {
    const out = new Int32Array(4);
    const words = [0x00112233, 0x44556677, 0x8899aabb | 0, 0xccddeeff | 0] as const;
    encryptBlock(expandKey(hex("000102030405060708090a0b0c0d0e0f")), ...words, out);
    expect([...out].map((word) => (word >>> 0).toString(16))).toEqual(["69c4e0d8", "6a7b0430", "d8cdb780", "70b4c55a"]);
  });

  test("key stream of RFC 3711 Appendix B.2", () => {
    const keys = expandKey(hex("2B7E151628AED2A6ABF7158809CF4F3C"));
    const [w0, w1, w2] = [0xf0f1f2f3 | 0, 0xf4f5f6f7 | 0, 0xf8f9fafb | 0] as const;
    const stream = Buffer.alloc(16 * 0xff02);
    counterMode(keys, w0, w1, w2, 0xfcfd0000 | 0, stream, 0, stream.length);
    const block = (n: number): string => stream.toString("hex", n * 16, n * 16 + 16).toUpperCase();
    expect([0, 1, 2, 0xfeff, 0xff00, 0xff01].map(block)).toEqual([
      "E03EAD0935C95E80E166B16DD92B4EB4",
      "D23513162B02D0F72A43A2FE4A5F97AB",
      "41E95B3BB0A2E8DD477901E4FCA894C0",
      "EC8CDF7398607CB0F2D21675EA9EA1E4",
      "362B7C3C6773516318A077D7FC5073AE",
      "6A2CC3787889374FBEB4C81B17BA6C44",
    ]);
  });

  test("key derivation of RFC 3711 Appendix B.3", () => {
    const auth =
      "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5F";
    expect(deriveKey(master, 0, 16)).toEqual(hex("C61E7A93744F39EE10734AFE3FF7A087"));
    expect(deriveKey(master, 2, 14)).toEqual(hex("30CBBC08863D8C85D49DB34A9AE1"));
    expect(deriveKey(master, 1, 60)).toEqual(hex(auth));
  });

  test("HMAC-SHA1 is node's for every length around the blocks", () => {
    const key = Buffer.alloc(20, 0x0b);
    const out = new Int32Array(5);
    for (let length = 0; length < 200; length += 1) {
      const bytes = seededRandom("hmac")(length + 3);
      hmacSha1(hmacKey(key), bytes, 3, length + 3, out);
      const words = Buffer.alloc(20);
      for (const [index, word] of out.entries()) words.writeInt32BE(word, index * 4);
      expect(words).toEqual(createHmac("sha1", key).update(bytes.subarray(3)).digest());
    }
  });
});

describe("SRTP", () => {
  test("protects libsrtp's reference packet", () => {
    const packet = hex("800f1234decafbadcafebabeabababababababababababababababab");
    const expected = hex("800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb");
    expect(protect(new SrtpContext(master), packet)).toEqual(expected);
    expect(new SrtpContext(master).unprotect(Buffer.from(expected))).toBe(packet.length);
  });

  test("is byte for byte what werift makes, with CSRCs and header extensions too, over the sequence wrap", () => {
    const keys = { localMasterKey: master.key, localMasterSalt: master.salt };
    const theirs = new SrtpSession({
      profile: 1,
      keys: { ...keys, remoteMasterKey: master.key, remoteMasterSalt: master.salt },
    });
    const ours = new SrtpContext(master);
    for (let n = 0; n < 200; n += 1) {
      const header = new RtpHeader({
        payloadType: 111,
        sequenceNumber: (65_500 + n) & 0xffff,
        ssrc: 7,
        csrc: n % 3 === 0 ? [1, 2] : [],
        extension: n % 2 === 0,
        extensionProfile: 0xbede,
        extensions: n % 2 === 0 ? [{ id: 1, payload: Buffer.from([n]) }] : [],
      });
      const payload = seededRandom(`payload ${n}`)(n);
      const plain = new RtpPacket(header, payload).serialize();
      expect(protect(ours, plain)).toEqual(theirs.encrypt(payload, header));
    }
  });

  test("returns what went in, in place", () => {
    const [out, back] = [new SrtpContext(master), new SrtpContext(master)];
    for (let n = 0; n < 300; n += 1) {
      const plain = rtp(65_400 + n, seededRandom(`n ${n}`)(n));
      const packet = protect(out, plain);
      expect(back.unprotect(packet)).toBe(plain.length);
      expect(packet.subarray(0, plain.length)).toEqual(plain);
    }
  });

  test("takes a packet once, late ones too, but none older than 64", () => {
    const [out, back] = [new SrtpContext(master), new SrtpContext(master)];
    const packets = Array.from({ length: 101 }, (_, n) => protect(out, rtp(1_000 + n)));
    const take = (n: number): number => back.unprotect(Buffer.from(packets[n] ?? []));
    expect([0, 100, 0, 100, 37, 37, 36, 60, 60, 99].map(take)).toEqual([
      72,
      72,
      SRTP_REPLAYED,
      SRTP_REPLAYED,
      72,
      SRTP_REPLAYED,
      SRTP_REPLAYED,
      72,
      SRTP_REPLAYED,
      72,
    ]);
  });

  test.each([1, 210, 5_000, 0x7ff0])("survives an outage of %i packets over the sequence wrap", (lost) => {
    const [out, back] = [new SrtpContext(master), new SrtpContext(master)];
    const start = 0x10000 - Math.ceil(lost / 2);
    for (let n = 0; n < 3; n += 1) expect(back.unprotect(protect(out, rtp(start - 3 + n)))).toBe(72);
    for (let n = 0; n < lost; n += 1) protect(out, rtp(start + n));
    for (let n = 0; n < 100; n += 1) expect(back.unprotect(protect(out, rtp(start + lost + n)))).toBe(72);
  });

  test("never covers two packets with one key stream", () => {
    const context = new SrtpContext(master);
    protect(context, rtp(5));
    const again = Buffer.concat([rtp(5, Buffer.alloc(60, 1)), Buffer.alloc(TAG_BYTES)]);
    expect(context.protect(again, 72)).toBe(SRTP_REPLAYED);
  });

  test("refuses every changed bit, and lives", () => {
    const [out, back] = [new SrtpContext(master), new SrtpContext(master)];
    const packet = protect(out, rtp(77));
    const verdicts = new Set<number>();
    for (let bit = 0; bit < packet.length * 8; bit += 1) {
      const forged = Buffer.from(packet);
      forged[bit >> 3] = (forged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      verdicts.add(back.unprotect(forged));
    }
    expect(verdicts).toEqual(new Set([SRTP_FORGED, SRTP_MALFORMED]));
    expect(back.unprotect(packet)).toBe(72);
  });

  test("forged packets with new SSRCs take no room; authentic ones only so much", () => {
    const [out, back] = [new SrtpContext(master), new SrtpContext(master)];
    for (let ssrc = 1; ssrc < 1_000; ssrc += 1) {
      expect(back.unprotect(Buffer.concat([rtp(1, Buffer.alloc(60), ssrc), Buffer.alloc(TAG_BYTES)]))).toBe(
        SRTP_FORGED,
      );
    }
    for (let ssrc = 1; ssrc <= MAX_SSRCS; ssrc += 1) {
      expect(back.unprotect(protect(out, rtp(1, Buffer.alloc(60), ssrc)))).toBe(72);
    }
    const other = protect(new SrtpContext(master), rtp(1, Buffer.alloc(60), 99));
    expect(back.unprotect(other)).toBe(SRTP_TOO_MANY_SOURCES);
  });

  test.each([
    [-1, 65_535, 65_535],
    [100, 65_000, -536],
    [65_500, 10, 65_546],
    [65_546, 65_500, 65_500],
    [0x10000 * 9 + 0x8000, 0, 0x10000 * 9],
    [0x10000 * 9 + 0x8001, 0, 0x10000 * 10],
  ])("index after %i for sequence number %i is %i (RFC 3711 §3.3.1)", (highest, sequence, index) => {
    expect(estimateIndex(highest, sequence)).toBe(index);
  });
});

describe("SRTCP", () => {
  const report = hex("81c8000bcafebabeabababababababababababababababab");

  test("opens libsrtp's reference packet", () => {
    const packet = hex("81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798");
    expect(new SrtcpContext(master).unprotect(packet)).toBe(report.length);
    expect(packet.subarray(0, report.length)).toEqual(report);
  });

  test("protects libsrtp's reference packet, whose index is 1", () => {
    const context = new SrtcpContext(master);
    const room = (): Buffer => Buffer.concat([report, Buffer.alloc(SRTCP_OVERHEAD_BYTES)]);
    context.protect(room(), report.length);
    const packet = room();
    expect(context.protect(packet, report.length)).toBe(packet.length);
    expect(packet.toString("hex")).toBe("81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798");
  });

  test("takes a packet once, and none without the E bit", () => {
    const context = new SrtcpContext(master);
    const packet = Buffer.concat([report, Buffer.alloc(SRTCP_OVERHEAD_BYTES)]);
    context.protect(packet, report.length);
    const clear = Buffer.from(packet);
    clear[report.length] = 0;
    const back = new SrtcpContext(master);
    expect(back.unprotect(clear)).toBe(SRTP_MALFORMED);
    expect(back.unprotect(Buffer.from(packet))).toBe(report.length);
    expect(back.unprotect(Buffer.from(packet))).toBe(SRTP_REPLAYED);
  });
});

test("5000 mutated packets are refused, and the next real ones are taken", () => {
  const random = seededRandom("srtp garbage");
  const [out, back] = [new SrtpContext(master), new SrtpContext(master)];
  const [outRtcp, backRtcp] = [new SrtcpContext(master), new SrtcpContext(master)];
  const good = protect(out, rtp(1));
  const goodRtcp = Buffer.concat([hex("81c8000bcafebabeabababababababababababababababab"), Buffer.alloc(14)]);
  outRtcp.protect(goodRtcp, 24);
  for (let n = 0; n < 2_500; n += 1) {
    const packet = mutate(good, random);
    if (!packet.equals(good)) expect(back.unprotect(packet)).toBeLessThan(0);
    const rtcp = mutate(goodRtcp, random);
    if (!rtcp.equals(goodRtcp)) expect(backRtcp.unprotect(rtcp)).toBeLessThan(0);
  }
  expect(back.unprotect(good)).toBe(72);
  expect(backRtcp.unprotect(goodRtcp)).toBe(24);
});
