import { describe } from "vitest";
import { killedUnderLoad } from "./robust-messages.ts";

/** Half a minute at least, so it runs where peers are required, not in every run. `PONTE_KILLS=20` takes minutes. */
const kills = Number(process.env["PONTE_KILLS"] ?? "3");

describe.skipIf(process.env["PONTE_REQUIRE_PEERS"] !== "1")("at length (PONTE_REQUIRE_PEERS=1)", () => {
  killedUnderLoad(kills, 240_000);
});
