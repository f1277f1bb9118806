import { expect, test } from "vitest";
import { parseConfig } from "#config/load.ts";
import type { Config } from "#config/schema.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import { sipPeers, startAgent } from "../../src/parts.ts";

function withPeers(peers: string[]): Config {
  const loaded = parseConfig("sip: { port: 0, bind_address: 127.0.0.1 }", {});
  if (!loaded.ok) throw new Error("no configuration");
  return { ...loaded.config, sip: { ...loaded.config.sip, peers } };
}

test("a peer that is no address is refused by the name of its key", async () => {
  const starting = startAgent(withPeers(["pbx.example"]), "secret", quietLog());
  await expect(starting).rejects.toMatchObject({
    name: "PonteError",
    code: "sip_peers_invalid",
    message: expect.stringMatching(/sip\.peers.*pbx\.example/),
  });
});

test("peers are addresses and networks", () => {
  const isPeer = sipPeers(withPeers(["192.0.2.1", "198.51.100.0/24"]));
  expect(["192.0.2.1", "198.51.100.7", "192.0.2.2", ""].map(isPeer)).toEqual([true, true, false, false]);
});
