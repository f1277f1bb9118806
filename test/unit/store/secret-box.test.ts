import { expect, test } from "vitest";
import { SecretBox } from "#store/secret-box.ts";

const box = new SecretBox("0123456789abcdef");

test("what was sealed is opened with the same key only, and shows nothing", () => {
  const sealed = box.seal("açúcar 🔑");
  expect(box.open(sealed)).toBe("açúcar 🔑");
  expect(sealed.includes("car")).toBe(false);
  expect(box.seal("açúcar 🔑").equals(sealed)).toBe(false);
  expect(() => new SecretBox("fedcba9876543210").open(sealed)).toThrow("cannot be opened");
  expect(() => new SecretBox(undefined).open(sealed)).toThrow("cannot be opened");
});

test.each([0, 5, 20, 30])("a byte that was changed at %i is noticed", (at) => {
  const sealed = box.seal("secret of a tenant");
  sealed[at] = (sealed[at] ?? 0) ^ 0x41;
  expect(() => box.open(sealed)).toThrow("cannot be opened");
});

test("without a key secrets are in clear, and are still opened when there is one later", () => {
  const clear = new SecretBox(undefined);
  expect(clear.seals).toBe(false);
  expect(box.open(clear.seal("x"))).toBe("x");
});

test("a key that can be guessed is refused", () => {
  expect(() => new SecretBox("short")).toThrow("at least 16");
});
