import { expect, test } from "vitest";
import type { IceCredentials, RemoteTransport } from "#core/sdp/transport.ts";
import type { IceMode, SessionCounters } from "#media/transport/contract.ts";
import { newSessionCounters } from "#media/transport/counters.ts";
import { IceAgent, type IceRole } from "#media/transport/ice-agent.ts";
import { buildStun, parseStun, type StunContent, type StunMessage, stunIntegrity } from "#media/transport/stun.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { seededRandom } from "./support.ts";

interface Sent {
  readonly packet: Buffer;
  readonly to: string;
  readonly at: number;
}

interface Place {
  readonly address: string;
  readonly port: number;
}

const OURS: Place = { address: "192.0.2.1", port: 1_000 };
const THEIRS: Place = { address: "192.0.2.2", port: 2_000 };

/** An agent with everything that it told and sent. */
class Bench {
  readonly agent: IceAgent;
  readonly counters: SessionCounters = newSessionCounters();
  readonly sent: Sent[] = [];
  readonly told: string[] = [];
  readonly expected = new Set<string>();
  readonly local: IceCredentials;
  /** Where its packets go; undefined is a black hole. */
  deliver: ((packet: Buffer, to: Place) => void) | undefined;

  constructor(options: { name: string; clock: FakeClock; mode?: IceMode; role?: IceRole; timeoutMs?: number }) {
    const { name, clock, mode = "full", role = "controlling", timeoutMs = 15_000 } = options;
    this.local = { ufrag: name, pwd: `password of ${name}=` };
    this.agent = new IceAgent(
      { mode, role, local: this.local, timeoutMs },
      {
        clock,
        counters: this.counters,
        random: seededRandom(name),
        reaches: (family) => family === "ipv4",
        sendStun: (packet, address, port) => {
          this.sent.push({ packet, to: `${address} ${port}`, at: clock.now() });
          clock.after(10, () => this.deliver?.(packet, { address, port }));
        },
        expectResponse: (id) => this.expected.add(id),
        forgetResponse: (id) => this.expected.delete(id),
        onValidated: (address, port) => this.told.push(`validated ${address} ${port}`),
        onSelected: (address, port) => this.told.push(`selected ${address} ${port}`),
        onFailed: (reason) => this.told.push(reason),
      },
    );
  }

  remote(lite = false, candidates: readonly Place[] = []): RemoteTransport {
    return {
      ...this.local,
      lite,
      fingerprint: { algorithm: "sha-256", value: "" },
      setup: "actpass",
      candidates: candidates.map((place, n) => ({
        foundation: String(n),
        component: 1,
        priority: 1_000 - n,
        type: "host",
        ...place,
      })),
    };
  }

  receive(packet: Buffer, from: Place): void {
    const message = parseStun(packet);
    if (message) this.agent.receive(packet, message, from.address, from.port);
  }

  last(): StunMessage | undefined {
    return parseStun(this.sent.at(-1)?.packet ?? Buffer.alloc(0));
  }

  get selected(): string[] {
    return this.told.filter((each) => each.startsWith("selected"));
  }
}

function join(a: Bench, b: Bench): void {
  a.deliver = (packet, to) => {
    if (to.address === THEIRS.address) b.receive(packet, OURS);
  };
  b.deliver = (packet, to) => {
    if (to.address === OURS.address) a.receive(packet, THEIRS);
  };
}

const CHECK = { class: "request", transactionId: "0102030405060708090a0b0c", priority: 5 } as const;

/** A check of the far end "they" to the agent "we". */
function check(we: Bench, more: Partial<StunContent> = {}, password = we.local.pwd): Buffer {
  return buildStun({ ...CHECK, username: "we:they", ...more }, password);
}

test("a full agent nominates the first pair that answers, regularly, towards a lite one", () => {
  const clock = new FakeClock();
  const [we, they] = [new Bench({ name: "we", clock }), new Bench({ name: "they", clock, mode: "lite" })];
  join(we, they);
  they.agent.start(we.remote());
  we.agent.start(they.remote(true, [{ address: "2001:db8::1", port: 9 }, { address: "192.0.2.99", port: 9 }, THEIRS]));
  clock.advance(200);
  expect(we.told).toContain("selected 192.0.2.2 2000");
  expect(they.selected).toEqual(["selected 192.0.2.1 1000"]);
  const checks = we.sent.filter(({ to }) => to === "192.0.2.2 2000").map(({ packet }) => parseStun(packet));
  expect(checks.map((each) => [each?.class, each?.useCandidate])).toEqual([
    ["request", false],
    ["request", true],
  ]);
  expect(checks[0]).toMatchObject({
    username: "they:we",
    iceControlling: expect.any(BigInt),
    iceControlled: undefined,
  });
  // There is no IPv6 socket, so that candidate was not even tried.
  expect(we.sent.every(({ to }) => to.startsWith("192.0.2."))).toBe(true);
  // A lite agent never sends a check.
  expect(they.sent.map(({ packet }) => parseStun(packet)?.class)).toEqual(["success", "success"]);
});

test.each([
  ["controlling", "controlling"],
  ["controlled", "controlled"],
  ["controlling", "controlled"],
  ["controlled", "controlling"],
] as const)("full agents that start as %s and %s agree (RFC 8445 §7.3.1.1)", (roleA, roleB) => {
  for (let seed = 0; seed < 8; seed += 1) {
    const clock = new FakeClock();
    const we = new Bench({ name: `we${seed}`, clock, role: roleA });
    const they = new Bench({ name: `they${seed}`, clock, role: roleB });
    join(we, they);
    they.agent.start(we.remote(false, [OURS]));
    clock.advance(seed * 7);
    we.agent.start(they.remote(false, [THEIRS]));
    clock.advance(3_000);
    expect(we.told.at(-1)).toBe("selected 192.0.2.2 2000");
    expect(they.told.at(-1)).toBe("selected 192.0.2.1 1000");
    expect(new Set([we.agent.role, they.agent.role]).size).toBe(2);
    expect(we.counters.roleConflicts > 0).toBe(roleA === roleB);
  }
});

test("repeats lost checks, and gives up in the end", () => {
  const clock = new FakeClock();
  const we = new Bench({ name: "we", clock });
  const start = clock.now();
  we.agent.start(new Bench({ name: "they", clock }).remote(true, [THEIRS]));
  clock.advance(14_999);
  expect(we.sent.slice(0, 6).map(({ at }) => at - start)).toEqual([0, 100, 300, 700, 1_200, 1_700]);
  expect(we.told).toEqual([]);
  clock.advance(1);
  expect(we.told).toEqual(["ice_timeout"]);
  we.agent.close();
  expect([clock.pending, we.expected.size]).toEqual([0, 0]);
});

test("asks for consent every 4 to 6 seconds, and loses it 30 seconds after the last answer (RFC 7675)", () => {
  const clock = new FakeClock();
  const [we, they] = [new Bench({ name: "we", clock }), new Bench({ name: "they", clock, mode: "lite" })];
  join(we, they);
  they.agent.start(we.remote());
  we.agent.start(they.remote(true, [THEIRS]));
  clock.advance(300_000);
  const times = we.sent.slice(2).map(({ at }) => at);
  const gaps = times.slice(1).map((at, n) => at - (times[n] ?? 0));
  expect(gaps.length).toBeGreaterThan(45);
  expect(Math.min(...gaps)).toBeGreaterThanOrEqual(4_000);
  expect(Math.max(...gaps)).toBeLessThan(6_001);
  expect(new Set(gaps.map(Math.round)).size).toBeGreaterThan(10);
  expect([we.told.at(-1), they.told.at(-1)]).toEqual(["selected 192.0.2.2 2000", "selected 192.0.2.1 1000"]);
  we.deliver = undefined;
  clock.advance(23_000);
  expect([we.told.at(-1), they.told.at(-1)]).toEqual(["selected 192.0.2.2 2000", "selected 192.0.2.1 1000"]);
  clock.advance(7_100);
  expect([we.told.at(-1), they.told.at(-1)]).toEqual(["consent_expired", "consent_expired"]);
  we.agent.close();
  they.agent.close();
  expect([clock.pending, we.expected.size]).toEqual([0, 0]);
});

test.each([
  ["without integrity", () => buildStun({ ...CHECK, username: "we:they" }, undefined), "stunUnsigned"],
  ["with a wrong password", (we: Bench) => check(we, {}, "guess"), "stunForged"],
  ["for another far end", (we: Bench) => check(we, { username: "we:other" }), "stunForged"],
  ["for another agent", (we: Bench) => check(we, { username: "us:they" }), "stunForged"],
] as const)("a check %s gets no answer and teaches nothing", (_name, build, counter) => {
  for (const mode of ["full", "lite"] as const) {
    const clock = new FakeClock();
    const we = new Bench({ name: "we", clock, mode });
    we.agent.start(new Bench({ name: "they", clock }).remote());
    we.receive(build(we), THEIRS);
    clock.advance(1_000);
    expect([we.sent, we.told, we.counters[counter]]).toEqual([[], [], 1]);
  }
});

test("a lite agent answers 487 to a controlled far end (RFC 8445 §7.3.1.1) and 420 to what it does not understand", () => {
  const clock = new FakeClock();
  const we = new Bench({ name: "we", clock, mode: "lite" });
  we.agent.start(new Bench({ name: "they", clock }).remote());
  we.receive(check(we, { iceControlled: 1n, useCandidate: true }), THEIRS);
  expect(we.last()).toMatchObject({ class: "error", errorCode: 487 });
  expect([we.told, we.counters.roleConflicts]).toEqual([[], 1]);
  we.receive(check(we, { iceControlling: 1n, useCandidate: true, transactionId: "ff".repeat(12) }), THEIRS);
  const answer = we.sent.at(-1)?.packet ?? Buffer.alloc(0);
  const message = parseStun(answer);
  expect(message).toMatchObject({ class: "success", mappedAddress: THEIRS });
  expect(message && stunIntegrity(answer, message, we.local.pwd)).toBe("valid");
  expect(we.selected).toEqual(["selected 192.0.2.2 2000"]);
});

test("a recorded check that comes from elsewhere is not believed", () => {
  const clock = new FakeClock();
  const we = new Bench({ name: "we", clock, mode: "lite" });
  we.agent.start(new Bench({ name: "they", clock }).remote());
  const packet = check(we, { iceControlling: 1n, useCandidate: true });
  we.receive(packet, THEIRS);
  we.receive(packet, { address: "203.0.113.66", port: 6_666 });
  expect([we.selected, we.counters.stunForged]).toEqual([["selected 192.0.2.2 2000"], 1]);
});

test("a response is taken only for a check of ours, signed, and from where the check went", () => {
  const clock = new FakeClock();
  const [we, they] = [new Bench({ name: "we", clock }), new Bench({ name: "they", clock })];
  we.agent.start(they.remote(true, [THEIRS]));
  const { transactionId = "" } = we.last() ?? {};
  const answer = { class: "success", mappedAddress: OURS } as const;
  we.receive(buildStun({ ...answer, transactionId: "00".repeat(12) }, they.local.pwd), THEIRS);
  we.receive(buildStun({ ...answer, transactionId }, undefined), THEIRS);
  we.receive(buildStun({ ...answer, transactionId }, "guess"), THEIRS);
  we.receive(buildStun({ ...answer, transactionId }, they.local.pwd), { address: "203.0.113.66", port: 2_000 });
  we.receive(buildStun({ class: "error", transactionId, error: { code: 401, reason: "" } }, undefined), THEIRS);
  expect(we.counters).toMatchObject({ stunUnexpected: 2, stunUnsigned: 2, stunForged: 1, stunIn: 0 });
  expect([we.told, we.agent.role]).toEqual([[], "controlling"]);
  we.receive(buildStun({ ...answer, transactionId }, they.local.pwd), THEIRS);
  expect(we.told).toEqual(["validated 192.0.2.2 2000"]);
});

test("a lite far end that claims to control, or says 487, does not make us give up control", () => {
  const clock = new FakeClock();
  const [we, they] = [new Bench({ name: "we", clock }), new Bench({ name: "they", clock })];
  we.agent.start(they.remote(true, [THEIRS]));
  const { transactionId = "" } = we.last() ?? {};
  const conflict = { class: "error", transactionId, error: { code: 487, reason: "Role Conflict" } } as const;
  we.receive(buildStun(conflict, they.local.pwd), THEIRS);
  we.receive(check(we, { iceControlling: 2n ** 64n - 1n }), THEIRS);
  expect(we.agent.role).toBe("controlling");
});

test("learns the far end's address from its check (peer-reflexive, RFC 8445 §7.3.1.3)", () => {
  const clock = new FakeClock();
  const [we, they] = [new Bench({ name: "we", clock }), new Bench({ name: "they", clock, role: "controlled" })];
  join(we, they);
  we.agent.start(they.remote(false, []));
  they.agent.start(we.remote(false, [OURS]));
  clock.advance(500);
  expect(we.selected).toEqual(["selected 192.0.2.2 2000"]);
  expect(they.selected).toEqual(["selected 192.0.2.1 1000"]);
});

test("does not switch a pair that it nominated, whatever the far end tries", () => {
  const clock = new FakeClock();
  const [we, they] = [new Bench({ name: "we", clock }), new Bench({ name: "they", clock, mode: "lite" })];
  join(we, they);
  they.agent.start(we.remote());
  we.agent.start(they.remote(true, [THEIRS]));
  clock.advance(500);
  we.receive(check(we, { useCandidate: true, iceControlled: 1n }), { address: "192.0.2.77", port: 7 });
  clock.advance(500);
  expect(we.selected).toEqual(["selected 192.0.2.2 2000"]);
});

test("tries no more candidates than a real far end has", () => {
  const clock = new FakeClock();
  const we = new Bench({ name: "we", clock });
  const many = Array.from({ length: 1_000 }, (_, n) => ({ address: "192.0.2.9", port: n + 1 }));
  we.agent.start(new Bench({ name: "they", clock }).remote(false, many));
  clock.advance(15_100);
  expect(new Set(we.sent.map(({ to }) => to)).size).toBe(12);
  expect(we.expected.size).toBeLessThanOrEqual(64);
  we.agent.close();
  expect([clock.pending, we.expected.size]).toEqual([0, 0]);
});
