import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Bench, type Msg, type Reply, SDP, type Srf, type SrfDialog } from "./support/bench.ts";
import type { Message, UdpPeer } from "./support/peer.ts";

let bench: Bench;
let peer: UdpPeer;
let srf: Srf;
let arrived: { req: Msg; res: Reply } | undefined;

beforeEach(async () => {
  arrived = undefined;
  bench = await Bench.start();
  peer = await bench.udpPeer();
  srf = await bench.app((app) =>
    app.invite((req, res) => {
      arrived = { req, res };
    }),
  );
});
afterEach(() => bench.stop());

type Call = {
  readonly dialog: SrfDialog;
  readonly ids: { callId: string; from: string; to: string };
  readonly contact: string;
};

async function placed(extra: readonly string[], headers: object = {}): Promise<Call & { invite: Message }> {
  const dialog = srf.createUAC(`sip:600@${peer.host}`, { localSdp: SDP, headers });
  const invite = await peer.next("INVITE");
  peer.reply(invite, 200, { body: SDP, extra });
  const up = await dialog;
  await peer.next("ACK");
  const ids = { callId: invite.get("Call-ID"), from: `${invite.get("To")};tag=peer-tag`, to: invite.get("From") };
  return { dialog: up, ids, contact: invite.contact(), invite };
}

async function received(headers: object, extra: readonly string[]): Promise<Call> {
  const invite = peer.request("INVITE", `sip:600@127.0.0.1:${bench.udp}`, { body: SDP, extra });
  await bench.settle(() => arrived !== undefined);
  const { req, res } = arrived as { req: Msg; res: Reply };
  const dialog = await srf.createUAS(req, res, { localSdp: SDP, headers });
  const answer = await peer.next(200);
  peer.ack(invite, answer);
  await bench.settle(() => bench.agent.counters().pending === 0);
  const ids = { callId: invite.get("Call-ID"), from: invite.get("From"), to: answer.get("To") };
  return { dialog, ids, contact: answer.contact() };
}

test("we refresh at half the interval with our last SDP, and the application is not asked", async () => {
  const { dialog } = await placed(["Session-Expires: 120;refresher=uac"]);
  let asked = 0;
  dialog.on("modify", () => {
    asked += 1;
  });
  for (let round = 0; round < 3; round++) {
    bench.clock.advance(60_000);
    const refresh = await peer.next("INVITE");
    expect(refresh.body).toBe(SDP);
    expect(refresh.get("Session-Expires")).toBe("120;refresher=uac");
    peer.reply(refresh, 200, { body: SDP, extra: ["Session-Expires: 120;refresher=uac"] });
    const ack = await peer.next("ACK");
    expect(ack.get("CSeq")).toBe(refresh.get("CSeq").replace("INVITE", "ACK"));
  }
  expect(asked).toBe(0);
  expect(peer.count("BYE")).toBe(0);
});

test("a peer that takes UPDATE is refreshed without a body", async () => {
  await placed(["Session-Expires: 120;refresher=uac", "Allow: INVITE, ACK, UPDATE"]);
  bench.clock.advance(60_000);
  const refresh = await peer.next("UPDATE");
  expect(refresh.body).toBe("");
  peer.reply(refresh, 200, { extra: ["Session-Expires: 120;refresher=uac"] });
  await bench.settle(() => bench.agent.counters().pending === 0);
  await peer.heard();
  bench.clock.advance(60_000);
  await peer.next((message) => message.method === "UPDATE" && message.get("CSeq") !== refresh.get("CSeq"));
});

test("a refresh that is not answered ends the call at the interval, and the application hears why", async () => {
  const { dialog } = await placed(["Session-Expires: 120;refresher=uac", "Allow: UPDATE"]);
  const reason = new Promise((done) => dialog.on("destroy", (_: Msg, why: string) => done(why)));
  bench.clock.advance(60_000);
  peer.reply(await peer.next("UPDATE"), 500);
  await peer.heard();
  bench.clock.advance(5_000);
  await peer.next((message) => message.method === "UPDATE");
  bench.clock.advance(55_000);
  const bye = await peer.next("BYE");
  peer.reply(bye, 200);
  expect(String(await reason)).toMatch(/Session timer expired|UPDATE answered 408/);
});

test("when the peer is to refresh and does not, the call ends a little before the interval", async () => {
  const { dialog } = await received({ "Session-Expires": "120;refresher=uac", Require: "timer" }, [
    "Supported: timer",
    "Session-Expires: 120;refresher=uac",
  ]);
  const reason = new Promise((done) => dialog.on("destroy", (_: Msg, why: string) => done(why)));
  bench.clock.advance(87_900);
  expect(peer.count("BYE")).toBe(0);
  bench.clock.advance(200);
  const bye = await peer.next("BYE");
  expect(bye.get("Reason")).toBe('SIP ;cause=200 ;text="Session timer expired"');
  peer.reply(bye, 200);
  expect(await reason).toBe("Session timer expired");
  expect(bench.agent.counters().sessions_expired).toBe(1);
});

test("the peer's refresh keeps the call and is answered with the interval, though the application knows nothing of it", async () => {
  const { ids, contact } = await received({ "Session-Expires": "120;refresher=uac", Require: "timer" }, [
    "Supported: timer",
    "Session-Expires: 120;refresher=uac",
  ]);
  for (let cseq = 2; cseq < 5; cseq++) {
    bench.clock.advance(60_000);
    const extra = ["Supported: timer", "Session-Expires: 120;refresher=uac"];
    const refresh = peer.request("INVITE", contact, { ...ids, cseq, body: SDP, extra });
    const ok = await peer.next((message) => message.status === 200 && message.get("CSeq") === `${cseq} INVITE`);
    expect(ok.get("Session-Expires")).toBe("120;refresher=uac");
    expect(ok.get("Require")).toBe("timer");
    peer.ack(refresh, ok);
    await bench.settle(() => bench.agent.counters().pending === 0);
  }
  expect(peer.count("BYE")).toBe(0);
});

test("an interval below 90 s gets 422 with Min-SE", async () => {
  const extra = ["Supported: timer", "Session-Expires: 60"];
  peer.request("INVITE", `sip:600@127.0.0.1:${bench.udp}`, { body: SDP, extra });
  expect((await peer.next(422)).get("Min-SE")).toBe("90");
  expect(arrived).toBeUndefined();
});

test("a hold of ours goes on with the timer that runs", async () => {
  const { dialog } = await placed(["Session-Expires: 120;refresher=uas"]);
  const modified = dialog.modify(SDP.replace("4000", "4002"));
  const again = await peer.next("INVITE");
  expect(again.get("Session-Expires")).toBe("120;refresher=uas");
  peer.reply(again, 200, { body: SDP, extra: ["Session-Expires: 120;refresher=uas"] });
  await peer.next("ACK");
  await modified;
  bench.clock.advance(88_100);
  peer.reply(await peer.next("BYE"), 200);
});

describe("a peer that keeps no timer although we asked for one", () => {
  const wish = { "Session-Expires": "120", Supported: "timer" };

  test("is asked by UPDATE whether it is there, and any answer will do", async () => {
    await placed(["Allow: INVITE, ACK, BYE, UPDATE"], wish);
    const asked = new Set<string>();
    for (const status of [200, 405, 200]) {
      bench.clock.advance(60_000);
      const refresh = await peer.next((message) => message.method === "UPDATE" && !asked.has(message.get("CSeq")));
      asked.add(refresh.get("CSeq"));
      peer.reply(refresh, status);
      await bench.settle(() => bench.agent.counters().pending === 0);
      await peer.heard();
    }
    expect(peer.count("BYE")).toBe(0);
    bench.clock.advance(59_000);
    expect(peer.count("BYE")).toBe(0);
  });

  test("and is silent loses the call", async () => {
    const { dialog } = await placed(["Allow: INVITE, ACK, BYE, UPDATE"], wish);
    const reason = new Promise((done) => dialog.on("destroy", (_: Msg, why: string) => done(why)));
    bench.clock.advance(60_000);
    await peer.next("UPDATE");
    bench.clock.advance(60_000);
    peer.reply(await peer.next("BYE"), 200);
    expect(String(await reason)).toMatch(/Session timer expired|UPDATE answered 408/);
  });

  test("goes on being asked after a hold of its own", async () => {
    const { ids, contact } = await placed(["Allow: INVITE, ACK, BYE, UPDATE"], wish);
    bench.clock.advance(50_000);
    const hold = peer.request("INVITE", contact, { ...ids, cseq: 1, body: SDP });
    peer.ack(hold, await peer.next((message) => message.status === 200 && message.get("CSeq") === "1 INVITE"));
    await bench.settle(() => bench.agent.counters().pending === 0);
    bench.clock.advance(50_000);
    expect(peer.count("UPDATE")).toBe(0);
    bench.clock.advance(10_000);
    peer.reply(await peer.next("UPDATE"), 200);
  });

  test("nor takes UPDATE is left alone", async () => {
    await placed(["Allow: INVITE, ACK, BYE"], wish);
    bench.clock.advance(600_000);
    await peer.heard();
    expect([peer.count("UPDATE"), peer.count("BYE")]).toEqual([0, 0]);
  });
});
