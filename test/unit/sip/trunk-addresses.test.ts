import { beforeEach, expect, test } from "vitest";
import { TrunkAddresses } from "#sip/trunk-addresses.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { type QuietLog, quietLog } from "#test/support/quiet-log.ts";

const HOUR_MS = 3_600_000;

let clock: FakeClock;
let log: QuietLog;
/** What the name server says of each name. */
let names: Record<string, readonly string[]>;
let asked: string[];
let changes: (readonly string[])[];
let addresses: TrunkAddresses;

beforeEach(() => {
  clock = new FakeClock();
  log = quietLog();
  names = {};
  asked = [];
  changes = [];
  addresses = new TrunkAddresses({
    trunks: [
      { name: "fixed", host: "192.0.2.1" },
      { name: "named", host: "pbx.example" },
      { name: "six", host: "2001:db8::1" },
    ],
    clock,
    log,
    lookUp: async (host) => {
      asked.push(host);
      const found = names[host];
      if (found === undefined) throw new Error("ENOTFOUND");
      return found;
    },
    onChange: (all) => changes.push(all),
  });
});

/** Moves on, and lets the look-up that came due finish. */
async function later(ms: number): Promise<void> {
  clock.advance(ms);
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}

test.each([
  ["192.0.2.1", true],
  ["2001:db8::1", true],
  ["192.0.2.2", false],
  ["", false],
])("%j is the address of a PBX: %j", (address, expected) => {
  expect(addresses.knows(address)).toBe(expected);
});

test("tells literal addresses at once, and never looks them up", () => {
  void addresses.start();
  expect(changes).toEqual([["192.0.2.1", "2001:db8::1"]]);
  expect(asked).toEqual(["pbx.example"]);
});

test("a name that has no address at the start is let in once it has one", async () => {
  await addresses.start();
  await later(5_000);
  expect(log.lines.map(({ level, message }) => `${level}: ${message}`)).toEqual([
    "warn: trunk host not found",
    "debug: trunk host still not found",
  ]);
  names["pbx.example"] = ["192.0.2.7"];
  await later(5_000);
  expect(changes.at(-1)).toEqual(["192.0.2.1", "192.0.2.7", "2001:db8::1"]);
  expect(addresses.knows("192.0.2.7")).toBe(true);
});

test("a name that moves is followed, and its calls of before can still be hung up from the old address", async () => {
  names["pbx.example"] = ["192.0.2.7"];
  await addresses.start();
  names["pbx.example"] = ["192.0.2.8"];
  await later(60_000);
  expect(["192.0.2.7", "192.0.2.8"].map((each) => addresses.knows(each))).toEqual([true, true]);
  expect(changes).toHaveLength(3);
  await later(60_000);
  expect(changes, "nothing new is not told").toHaveLength(3);
  for (let minute = 0; minute < 245; minute++) await later(HOUR_MS / 60);
  expect(["192.0.2.7", "192.0.2.8"].map((each) => addresses.knows(each))).toEqual([false, true]);
});

test("a name server that fails takes no address away", async () => {
  names["pbx.example"] = ["192.0.2.7"];
  await addresses.start();
  names = {};
  await later(60_000);
  expect(addresses.knows("192.0.2.7")).toBe(true);
});

test("a call looks the name up at once", async () => {
  names["pbx.example"] = ["192.0.2.7"];
  await addresses.start();
  names["pbx.example"] = ["192.0.2.8"];
  await addresses.look("named");
  expect(addresses.knows("192.0.2.8")).toBe(true);
  expect(clock.pending).toBe(1);
});

test("a name that changes all the time keeps its newest addresses", async () => {
  await addresses.start();
  for (let last = 0; last < 100; last++) {
    names["pbx.example"] = [`198.51.100.${last}`];
    await addresses.look("named");
  }
  expect(addresses.all()).toHaveLength(66);
  expect(["198.51.100.0", "198.51.100.99"].map((each) => addresses.knows(each))).toEqual([false, true]);
});

test("leaves no timer when it stops, also in the middle of a look-up", async () => {
  const starting = addresses.start();
  addresses.stop();
  await starting;
  expect(clock.pending).toBe(0);
});
