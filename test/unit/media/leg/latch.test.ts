import { describe, expect, test } from "vitest";
import { isSuspectAddress, Latch } from "#media/leg/latch.ts";

const PBX = { address: "192.0.2.10", port: 4_000 };
const NAT = { address: "198.51.100.7", port: 61_234 };
const STRANGER = { address: "203.0.113.66", port: 5_555 };

function latch(mode: "strict" | "auto"): Latch {
  const made = new Latch(mode);
  made.announce(PBX.address, PBX.port, 0);
  return made;
}

const takes = (it: Latch, from: typeof PBX, at: number) =>
  it.isSource(from.address, from.port) || it.admit(from.address, from.port, at);

describe("who is the PBX", () => {
  test("the announced address is, at any time", () => {
    for (const mode of ["strict", "auto"] as const) {
      const it = latch(mode);
      expect(takes(it, PBX, 60_000)).toBe(true);
      expect(it.target).toEqual(PBX);
      expect([takes(it, STRANGER, 60_001), it.strangers]).toEqual([false, 1]);
    }
  });

  test("strict takes nobody else", () => {
    const it = latch("strict");
    expect([takes(it, NAT, 10), it.strangers, it.target]).toEqual([false, 1, PBX]);
    // Another port of the same host is somebody else, too.
    expect(takes(it, { ...PBX, port: 4_002 }, 20)).toBe(false);
  });

  test("auto latches to the first who sends, and to no second one", () => {
    const it = latch("auto");
    expect([takes(it, NAT, 100), it.target]).toEqual([true, NAT]);
    expect([takes(it, STRANGER, 200), takes(it, NAT, 300)]).toEqual([false, true]);
    expect([it.strangers, it.target]).toEqual([1, NAT]);
  });

  test("auto prefers the announced address while the window is open, and then for good", () => {
    const it = latch("auto");
    takes(it, STRANGER, 100);
    expect([takes(it, PBX, 200), it.target]).toEqual([true, PBX]);
    expect([takes(it, STRANGER, 300), it.target]).toEqual([false, PBX]);
  });

  test("after the window whoever was latched stays", () => {
    const it = latch("auto");
    takes(it, NAT, 100);
    expect([takes(it, PBX, 20_000), it.target]).toEqual([false, NAT]);
  });

  test("nobody latches after the window but the announced address", () => {
    const it = latch("auto");
    expect([takes(it, NAT, 10_001), it.target]).toEqual([false, PBX]);
    expect([takes(it, PBX, 10_002), it.target]).toEqual([true, PBX]);
  });

  test("a re-INVITE with the same address changes nothing, one with another address latches anew", () => {
    const it = latch("auto");
    takes(it, NAT, 100);
    it.announce(PBX.address, PBX.port, 30_000);
    expect([takes(it, STRANGER, 30_001), it.target]).toEqual([false, NAT]);
    it.announce(PBX.address, 4_444, 30_002);
    expect(it.target).toEqual({ address: PBX.address, port: 4_444 });
    expect([takes(it, NAT, 30_003), it.target]).toEqual([true, NAT]);
  });

  test("nothing is sent to 0.0.0.0, to port 0 or to nobody", () => {
    const it = new Latch("auto");
    expect([it.target, takes(it, NAT, 0)]).toEqual([undefined, false]);
    it.announce("0.0.0.0", 4_000, 0);
    expect(it.target).toBeUndefined();
    it.announce(PBX.address, 0, 0);
    expect(it.target).toBeUndefined();
  });

  test("IPv6 addresses are the same however they are spelt", () => {
    const it = new Latch("strict");
    it.announce("2001:DB8:0:0::1", 4_000, 0);
    expect(takes(it, { address: "2001:db8::1", port: 4_000 }, 1)).toBe(true);
  });
});

const suspects = [
  { announced: "0.0.0.0", ours: "127.0.0.1", suspect: true },
  { announced: "::", ours: "2001:db8::1", suspect: true },
  { announced: "127.0.0.1", ours: "10.0.0.5", suspect: true },
  { announced: "127.0.0.1", ours: "127.0.0.1", suspect: false },
  { announced: "10.1.2.3", ours: "203.0.113.5", suspect: true },
  { announced: "10.1.2.3", ours: "192.168.1.5", suspect: false },
  { announced: "172.16.0.1", ours: "203.0.113.5", suspect: true },
  { announced: "172.32.0.1", ours: "203.0.113.5", suspect: false },
  { announced: "100.64.0.1", ours: "203.0.113.5", suspect: true },
  { announced: "fd00::1", ours: "2001:db8::1", suspect: true },
  { announced: "fe80::1", ours: "2001:db8::1", suspect: true },
  { announced: "2001:db8::2", ours: "2001:db8::1", suspect: false },
  { announced: "198.51.100.1", ours: "203.0.113.5", suspect: false },
];

test.each(suspects)("$announced, told to $ours, is suspect: $suspect", ({ announced, ours, suspect }) => {
  expect(isSuspectAddress(announced, ours)).toBe(suspect);
});
