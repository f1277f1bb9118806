import { expect, test } from "vitest";
import { uuidV7 } from "#core/id.ts";

test("makes the example of RFC 9562 §A.6", () => {
  // 017F22E2-79B0-7CC3-98C4-DC0C0C07398F, with the bytes that the layout leaves to chance.
  const random = Buffer.from("000000000000ccc318c4dc0c0c07398f", "hex");
  expect(uuidV7(0x017f22e279b0, random)).toBe("017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
});

test("ids of later milliseconds sort behind", () => {
  const high = new Uint8Array(16).fill(0xff);
  const low = new Uint8Array(16);
  expect(uuidV7(1_700_000_000_000, high) < uuidV7(1_700_000_000_001, low)).toBe(true);
});

test("pads a small time and keeps version and variant", () => {
  expect(uuidV7(1, new Uint8Array(16))).toBe("00000000-0001-7000-8000-000000000000");
});

test("refuses too little chance", () => {
  expect(() => uuidV7(1, new Uint8Array(15))).toThrow(RangeError);
});
