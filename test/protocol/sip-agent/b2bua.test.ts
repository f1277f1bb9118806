import { afterEach, beforeEach, expect, test } from "vitest";
import { Bench, type Msg, type Reply, SDP, type Srf, type SrfDialog } from "./support/bench.ts";
import type { UdpPeer } from "./support/peer.ts";

type Bridge = { readonly uas: SrfDialog; readonly uac: SrfDialog };

/** An application as drachtio-srf builds them: a leg comes in, a leg goes out, and the library carries what happens across. */
let bench: Bench;
let caller: UdpPeer;
let callee: UdpPeer;
let bridge: Promise<Bridge>;

beforeEach(async () => {
  bench = await Bench.start();
  [caller, callee] = [await bench.udpPeer(), await bench.udpPeer()];
  let built: (bridge: Promise<Bridge>) => void = () => undefined;
  bridge = new Promise<Bridge>((done) => {
    built = (promise) => {
      promise.catch(() => undefined);
      promise.then(done, () => undefined);
    };
  });
  await bench.app((srf: Srf) => {
    const b2b = srf as Srf & { createB2BUA(req: Msg, res: Reply, uri: string, options: object): Promise<Bridge> };
    srf.invite((req, res) => built(b2b.createB2BUA(req, res, `sip:callee@${callee.host}`, {})));
  });
});
afterEach(() => bench.stop());

test("a call goes through, and BYE of each side can be relayed", async () => {
  const invite = caller.request("INVITE", `sip:callee@127.0.0.1:${bench.udp}`, { body: SDP });
  const onward = await callee.next("INVITE");
  expect(onward.body).toBe(SDP);
  expect(onward.get("Call-ID")).not.toBe(invite.get("Call-ID"));
  callee.reply(onward, 180);
  await caller.next(180);
  callee.reply(onward, 200, { body: SDP.replace("4000", "4100") });
  const answer = await caller.next(200);
  expect(answer.body).toContain("4100");
  caller.ack(invite, answer);
  await callee.next("ACK");
  const { uas, uac } = await bridge;
  uas.on("destroy", () => void uac.destroy());
  caller.request("BYE", answer.contact(), {
    callId: invite.get("Call-ID"),
    from: invite.get("From"),
    to: answer.get("To"),
    cseq: 2,
  });
  callee.reply(await callee.next("BYE"), 200);
  await bench.settle(() => bench.agent.counters().dialogs === 0);
});

test("the caller gives up: CANCEL goes across", async () => {
  const invite = caller.request("INVITE", `sip:callee@127.0.0.1:${bench.udp}`, { body: SDP });
  const onward = await callee.next("INVITE");
  callee.reply(onward, 180);
  await caller.next(180);
  caller.cancel(invite);
  await caller.next(487);
  const cancel = await callee.next("CANCEL");
  callee.reply(cancel, 200);
  callee.reply(onward, 487);
  await callee.next("ACK");
  await bench.settle(() => bench.agent.counters().dialogs === 0 && bench.agent.counters().pending === 0);
});

test("the callee is busy: its status goes across", async () => {
  const invite = caller.request("INVITE", `sip:callee@127.0.0.1:${bench.udp}`, { body: SDP });
  callee.reply(await callee.next("INVITE"), 486, { reason: "Busy Here" });
  const busy = await caller.next(486);
  expect(busy.start).toBe("SIP/2.0 486 Busy Here");
  caller.ack(invite, busy, invite.branch);
  await bench.settle(() => bench.agent.counters().dialogs === 0 && bench.agent.counters().pending === 0);
});

test("forty calls one after the other leave nothing", async () => {
  for (let i = 0; i < 40; i++) {
    const invite = caller.request("INVITE", `sip:callee@127.0.0.1:${bench.udp}`, { body: SDP });
    callee.reply(await callee.next("INVITE"), 486);
    const busy = await caller.next(486);
    caller.ack(invite, busy, invite.branch);
  }
  await bench.settle(() => bench.agent.counters().pending === 0);
  bench.clock.advance(40_000);
  expect(bench.agent.counters()).toMatchObject({ dialogs: 0, transactions: 0 });
  expect(bench.clock.pending).toBe(0);
});
