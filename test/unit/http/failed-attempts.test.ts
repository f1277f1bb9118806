import { expect, test } from "vitest";
import { FailedAttempts } from "#http/auth.ts";
import { FakeClock } from "#test/support/fake-clock.ts";

function failing(times: number, address: string, clock = new FakeClock()) {
  const attempts = new FailedAttempts(clock);
  for (let i = 0; i < times; i++) attempts.failed(address);
  return { attempts, clock };
}

test("an address may mistype, but not guess", () => {
  expect(failing(19, "192.0.2.1").attempts.blockedForMs("192.0.2.1")).toBe(0);
  const { attempts, clock } = failing(20, "192.0.2.1");
  expect(attempts.blockedForMs("192.0.2.1")).toBe(60_000);
  expect(attempts.blockedForMs("192.0.2.2")).toBe(0);
  clock.advance(59_999);
  expect(attempts.blockedForMs("192.0.2.1")).toBe(1);
  clock.advance(1);
  expect(attempts.blockedForMs("192.0.2.1")).toBe(0);
});

test.each([
  ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true],
  ["2001:db8::1", "2001:db8:0:0:5::", true],
  ["2001:db8:1:2::1", "2001:db8:1:3::1", false],
  ["::ffff:192.0.2.1", "::ffff:192.0.2.2", false],
])("%s and %s are one network: %s", (one, other, same) => {
  expect(failing(20, one).attempts.blockedForMs(other) > 0).toBe(same);
});

test("remembers no more than 10 000 addresses, the latest ones", () => {
  const { attempts } = failing(20, "first");
  for (let i = 0; i < 10_000; i++) attempts.failed(`address ${i}`);
  expect(attempts.size).toBe(10_000);
  expect(attempts.blockedForMs("first")).toBe(0);
});
