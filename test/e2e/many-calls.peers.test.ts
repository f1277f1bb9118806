import { describe } from "vitest";
import { manyCalls } from "./many-calls.ts";

/** Minutes long, so it runs where peers are required, not in every run. */
describe.skipIf(process.env["PONTE_REQUIRE_PEERS"] !== "1")("200 calls (PONTE_REQUIRE_PEERS=1)", () => {
  manyCalls("20 at once", { atOnce: 20, rounds: 10 }, 180_000);
  manyCalls("one after the other", { atOnce: 1, rounds: 200 }, 600_000);
});
