import { describe } from "vitest";
import { killedUnderLoad } from "./robust-messages.ts";
import { databaseAway, gatewayAway } from "./robust-messages-away.ts";

/** Minutes, so it runs where peers are required, not in every run. */
const KILLS = 20;
const GATEWAY_AWAY_MS = 60_000;
const DATABASE_AWAY_MS = 10_000;

describe.skipIf(process.env["PONTE_REQUIRE_PEERS"] !== "1")("at length (PONTE_REQUIRE_PEERS=1)", () => {
  killedUnderLoad(KILLS, 400_000);

  describe.concurrent("somebody is away for long, and everything arrives when they are back, in its order", () => {
    gatewayAway(GATEWAY_AWAY_MS);
    databaseAway(DATABASE_AWAY_MS);
  });
});
