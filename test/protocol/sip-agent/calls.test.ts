import { afterEach, beforeEach, expect, test } from "vitest";
import { Bench, type Msg, type Reply, SDP, type SrfDialog } from "./support/bench.ts";

let bench: Bench;
beforeEach(async () => {
  bench = await Bench.start();
});
afterEach(() => bench.stop());

test("takes a call: 100 before the application acts, 180, 200, ACK delivered, BYE from the peer", async () => {
  const calls: { req: Msg; res: Reply }[] = [];
  const srf = await bench.app((app) => app.invite((req, res) => void calls.push({ req, res })));
  const peer = await bench.udpPeer();

  const invite = peer.request("INVITE", `sip:600@127.0.0.1:${bench.udp}`, { body: SDP });
  await peer.next(100);
  await bench.settle(() => calls.length === 1);
  const { req, res } = calls[0] as { req: Msg; res: Reply };
  expect(req.body).toBe(SDP);
  expect(req.stackDialogId).toBe("");
  res.send(180);
  const ringing = await peer.next(180);
  expect(ringing.tag("To")).not.toBe("");

  const dialog = await srf.createUAS(req, res, { localSdp: SDP });
  expect(dialog.id).toBe(`${invite.get("Call-ID")};from-tag=${invite.tag("From")}`);
  const answer = await peer.next(200);
  expect(answer.tag("To")).toBe(ringing.tag("To"));
  expect(answer.contact()).toBe(`sip:127.0.0.1:${bench.udp}`);
  const acked = new Promise((done) => dialog.on("ack", done));
  const ended = new Promise((done) => dialog.on("destroy", done));
  peer.ack(invite, answer);
  await acked;
  const identity = { callId: invite.get("Call-ID"), from: invite.get("From"), to: answer.get("To") };
  peer.request("BYE", answer.contact(), { ...identity, cseq: 2 });
  await peer.next(200);
  await ended;
  expect(bench.agent.counters().dialogs).toBe(0);
});

test("places a call: the application's ACK goes to the Contact, and it hangs up", async () => {
  const srf = await bench.app();
  const peer = await bench.udpPeer();
  const provisional: number[] = [];
  const placed = srf.createUAC(
    `sip:600@${peer.host}`,
    { localSdp: SDP, callingNumber: "4917012345" },
    { cbProvisional: (res) => void provisional.push(res.status) },
  );
  const invite = await peer.next("INVITE");
  expect(invite.get("From")).toContain(`<sip:4917012345@127.0.0.1:${bench.udp}>;tag=`);
  expect(invite.get("Contact")).toBe(`<sip:4917012345@127.0.0.1:${bench.udp}>`);
  expect(invite.get("Via")).toContain(";rport");
  peer.reply(invite, 100);
  peer.reply(invite, 180);
  peer.reply(invite, 200, { body: SDP });
  const dialog: SrfDialog = await placed;
  const ack = await peer.next("ACK");
  expect(ack.uri).toBe(`sip:peer@${peer.host}`);
  expect(ack.branch).not.toBe(invite.branch);
  expect(ack.get("CSeq")).toBe(invite.get("CSeq").replace("INVITE", "ACK"));
  expect(provisional).toEqual([180]);
  expect(dialog.remote.sdp).toBe(SDP);

  const ended = dialog.destroy();
  const bye = await peer.next("BYE");
  peer.reply(bye, 200);
  await ended;
  expect(bench.agent.counters().dialogs).toBe(0);
  expect(srf._app.client.idle).toBe(true);
});
