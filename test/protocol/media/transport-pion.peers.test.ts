import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { SecureSession } from "#media/transport/contract.ts";
import { PublicPort } from "#media/transport/public-port.ts";
import { absent, pathOf } from "#test/support/peers.ts";
import { describeTransport, readTransport, rtpPacket, Witness } from "./transport-support.ts";

/** Pion in the shape of Meta's relay: ice-lite, one UDP port for all calls, an IPv6 candidate that leads nowhere. */
const HTTP_PORT = 25_531;
const MEDIA_PORT = 25_532;

describe.skipIf(absent("pion"))("Pion as Meta's relay (skipped without PONTE_PION)", () => {
  let pion: ChildProcess;
  const ports: PublicPort[] = [];

  beforeAll(async () => {
    const options = ["-listen", `127.0.0.1:${HTTP_PORT}`, "-bind", "127.0.0.1", "-port", String(MEDIA_PORT)];
    pion = spawn(pathOf("pion"), [...options, "-meta", "-lite"], { stdio: ["ignore", "pipe", "inherit"] });
    for await (const line of createInterface({ input: pion.stdout ?? process.stdin })) {
      if (line.includes("READY")) break;
    }
  }, 120_000);

  afterAll(async () => {
    pion.kill();
    await once(pion, "exit");
  });

  afterEach(async () => {
    await ask("/hangup", {});
    await Promise.all(ports.splice(0).map((port) => port.stop()));
  });

  async function ask(
    path: string,
    body: object,
  ): Promise<{ id: string; sdp: string; received: number; state: string }> {
    const answer = await fetch(`http://127.0.0.1:${HTTP_PORT}${path}`, { method: "POST", body: JSON.stringify(body) });
    return (await answer.json()) as never;
  }

  async function openPort(): Promise<PublicPort> {
    const port = new PublicPort({ port: 0, bind4: "127.0.0.1" });
    ports.push(port);
    await port.start();
    return port;
  }

  interface PionCall {
    readonly id: string;
    readonly session: SecureSession;
    readonly witness: Witness;
  }

  async function answerCall(port: PublicPort): Promise<PionCall> {
    const { id, sdp } = await ask("/offer", {});
    const remote = readTransport(sdp);
    const witness = new Witness();
    const session = port.open({ mode: "full", events: witness, remote });
    await ask("/answer", { id, sdp: describeTransport(session.local, "active", "audio") });
    session.connect(remote, "client");
    await witness.connected;
    return { id, session, witness };
  }

  async function expectReceived(call: PionCall, count: number): Promise<void> {
    while ((await ask("/stats", { id: call.id })).received < count) await new Promise((next) => setTimeout(next, 5));
  }

  test("a call connects, and is heard both ways", async () => {
    const call = await answerCall(await openPort());
    for (let n = 1; n <= 20; n += 1) call.session.sendRtp(rtpPacket(n));
    await Promise.all([call.witness.heard(10), expectReceived(call, 20)]);
    expect(call.session.counters()).toMatchObject({
      srtpForged: 0,
      stunForged: 0,
      dtlsMalformed: 0,
      strangerPackets: 0,
    });
    call.session.close();
  });

  test("eight calls at once through the relay's one port are kept apart, twice over", async () => {
    const port = await openPort();
    for (let round = 0; round < 2; round += 1) {
      const calls = await Promise.all(Array.from({ length: 8 }, () => answerCall(port)));
      for (const call of calls) for (let n = 1; n <= 20; n += 1) call.session.sendRtp(rtpPacket(n));
      await Promise.all(calls.map((call) => Promise.all([call.witness.heard(10), expectReceived(call, 20)])));
      const ssrcs = calls.map(({ witness }) => new Set(witness.rtp.map((packet) => packet.readUInt32BE(8))));
      expect(ssrcs.map((set) => set.size)).toEqual(calls.map(() => 1));
      for (const call of calls) call.session.close();
      await ask("/hangup", {});
    }
    expect(port.counters()).toMatchObject({ srtpForged: 0, sessions: 0 });
  });
});
