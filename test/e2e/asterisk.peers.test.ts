import { afterAll, beforeAll, describe, test } from "vitest";
import { Asterisk } from "#test/support/asterisk.ts";
import { absent } from "#test/support/peers.ts";
import { echoes } from "./echo.ts";
import { refusals } from "./refusals.ts";
import { scenarios } from "./scenarios.ts";

test.runIf(absent("asterisk"))("Asterisk is there (PONTE_ASTERISK names its run script)", ({ skip }) =>
  skip("PONTE_ASTERISK does not name a script"),
);

describe.skipIf(absent("asterisk"))("Asterisk", () => {
  let asterisk: Asterisk;

  beforeAll(async () => {
    asterisk = await Asterisk.start();
  });

  afterAll(() => asterisk?.stop());

  const pbx = async () => asterisk;
  describe("and libwebrtc", () => echoes(pbx, 10_000));
  describe("and its numbers", () => scenarios(pbx, () => asterisk.digitsRead()));
  describe("and calls that come to nothing", () => refusals(pbx));
});
