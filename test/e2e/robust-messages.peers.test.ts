import { describe } from "vitest";
import { killedUnderLoad } from "./robust-messages.ts";

/** Minutes long, so it runs where peers are required, not in every run. */
describe.skipIf(process.env["PONTE_REQUIRE_PEERS"] !== "1")("at length (PONTE_REQUIRE_PEERS=1)", () => {
  killedUnderLoad(20, 240_000);
});
