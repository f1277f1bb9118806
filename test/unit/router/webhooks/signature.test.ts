import { createHmac } from "node:crypto";
import { expect, test } from "vitest";
import { signWebhook, webhookSignatureFits } from "#router/webhooks/signature.ts";

const body = Buffer.from('{"id":"evt_1"}');
const now = 1_760_681_506;

test("signs time and body with each valid secret", () => {
  const v1 = (secret: string) => createHmac("sha256", secret).update(`${now}.{"id":"evt_1"}`).digest("hex");
  expect(signWebhook(body, ["new", "old"], now)).toBe(`t=${now},v1=${v1("new")},v1=${v1("old")}`);
});

test.each([
  ["the new secret", { secret: "new" }, true],
  ["the old secret", { secret: "old" }, true],
  ["another secret", { secret: "other" }, false],
  ["no secret", { secret: "" }, false],
  ["another body", { body: Buffer.from("{}") }, false],
  ["five minutes later", { now: now + 300 }, true],
  ["six minutes later", { now: now + 360 }, false],
  ["no header", { header: undefined }, false],
  ["a header without time", { header: "v1=00" }, false],
  [
    "another time with the same signature",
    { header: signWebhook(body, ["new"], now).replace(`${now}`, `${now + 1}`) },
    false,
  ],
  ["half a signature", { header: signWebhook(body, ["new"], now).slice(0, -10) }, false],
])("a receiver checks with %s: %j", (_, change, fits) => {
  const check = { secret: "new", body, now, header: signWebhook(body, ["new", "old"], now), ...change };
  expect(webhookSignatureFits(check.body, check.header, check.secret, check.now)).toBe(fits);
});
