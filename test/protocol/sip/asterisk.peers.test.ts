import { afterEach, describe, expect, test } from "vitest";
import { Asterisk } from "#test/support/asterisk.ts";
import { absent } from "#test/support/peers.ts";
import { byNumber, nothingLeft, play, scenarios } from "./scenarios.ts";
import { Cleanup, startEdge } from "./support.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

describe.skipIf(absent("asterisk"))("calls to Asterisk (skipped without PONTE_ASTERISK)", () => {
  test("end as the number says, with and without digest", async () => {
    const asterisk = cleanup.add(await Asterisk.start({ codecs: "ulaw,alaw" }), (each) => each.stop());
    const plain = await startEdge(cleanup, { port: asterisk.port });
    const account = { username: "ponte", password: "secret", callerIdentity: "p-asserted-identity" } as const;
    const digest = await startEdge(cleanup, { port: asterisk.port, ...account });
    const timers = plain.clock.pending;
    // This Asterisk is told to speak G.711 only.
    const expected = scenarios.map((scenario) => scenario.expected.map((line) => line.replace("opus", "PCMU")));
    const outcomes = await Promise.all(
      [plain, digest].map((world) => Promise.all(scenarios.map((scenario) => play(world, scenario)))),
    );
    expect(outcomes.map(byNumber)).toEqual([byNumber(expected), byNumber(expected)]);
    await nothingLeft(plain, timers);
    await nothingLeft(digest, timers);
  }, 60_000);
});
