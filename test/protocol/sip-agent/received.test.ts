import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Bench, type Msg, type Reply, SDP, type Srf, type SrfDialog } from "./support/bench.ts";
import type { Message, UdpPeer } from "./support/peer.ts";

let bench: Bench;
let peer: UdpPeer;
const calls: { req: Msg; res: Reply; cancelled: boolean }[] = [];
let srf: Srf;

beforeEach(async () => {
  calls.length = 0;
  bench = await Bench.start();
  peer = await bench.udpPeer();
  srf = await bench.app((app) =>
    app.invite((req, res) => {
      const call = { req, res, cancelled: false };
      calls.push(call);
      req.on("cancel", () => {
        call.cancelled = true;
      });
    }),
  );
});
afterEach(() => bench.stop());

type Arrived = { readonly invite: Message; readonly call: { req: Msg; res: Reply; cancelled: boolean } };

async function arrive(options: Parameters<UdpPeer["request"]>[2] = {}): Promise<Arrived> {
  const before = calls.length;
  const invite = peer.request("INVITE", `sip:600@127.0.0.1:${bench.udp}`, { body: SDP, ...options });
  await peer.next(100);
  await bench.settle(() => calls.length > before);
  const call = calls.at(-1);
  if (call === undefined) throw new Error("no call");
  return { invite, call };
}

async function answered(options: Parameters<UdpPeer["request"]>[2] = {}): Promise<{
  invite: Message;
  answer: Message;
  dialog: SrfDialog;
  inDialog: { callId: string; from: string; to: string };
}> {
  const { invite, call } = await arrive(options);
  const dialog = await srf.createUAS(call.req, call.res, { localSdp: SDP });
  const answer = await peer.next(200);
  const inDialog = { callId: invite.get("Call-ID"), from: invite.get("From"), to: answer.get("To") };
  return { invite, answer, dialog, inDialog };
}

function send(res: Reply, status: number, options: object = {}): Promise<unknown> {
  return new Promise((done) => res.send(status, options, (error) => done(error)));
}

test("repeats the 2xx at 0.5, 1.5, 3.5, 7.5, 11.5 … s, then says BYE at 32 s and tells the application", async () => {
  const { dialog } = await answered();
  const destroyed = new Promise<string>((done) => dialog.on("destroy", (_: Msg, reason: string) => done(reason)));
  const times: number[] = [];
  for (let ms = 0; ms < 31_900; ms += 100) {
    const before = peer.count(200);
    const due = [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500].includes(ms + 100);
    bench.clock.advance(100);
    if (due) {
      await bench.settle(() => peer.count(200) > before);
      times.push(ms + 100);
    }
  }
  expect(times).toHaveLength(10);
  expect(peer.count(200)).toBe(11);
  bench.clock.advance(200);
  const bye = await peer.next("BYE");
  expect(bye.get("Reason")).toContain('text="ACK timeout"');
  expect(await destroyed).toBe("ACK timeout");
  peer.reply(bye, 200);
  expect(bench.agent.counters()).toMatchObject({ dialogs: 0, acks_missed: 1 });
});

test("an ACK ends the repeats, and comes to the application once", async () => {
  const { invite, answer, dialog } = await answered();
  let acks = 0;
  dialog.on("ack", () => {
    acks += 1;
  });
  peer.ack(invite, answer);
  peer.ack(invite, answer);
  await bench.settle(() => acks === 1);
  bench.clock.advance(40_000);
  peer.request("OPTIONS", answer.contact(), {
    callId: invite.get("Call-ID"),
    from: invite.get("From"),
    to: answer.get("To"),
    cseq: 5,
  });
  await peer.next((message) => message.status === 200 && message.get("CSeq").includes("OPTIONS"));
  expect(acks).toBe(1);
  expect(peer.count("BYE")).toBe(0);
});

test("a BYE that the application sends before the ACK waits for it", async () => {
  const { invite, answer, dialog } = await answered();
  const ended = dialog.destroy();
  // What the application says behind it has reached the peer, and the BYE has not.
  srf.request(`sip:${peer.host}`, { method: "OPTIONS" }, () => undefined);
  peer.reply(await peer.next("OPTIONS"), 200);
  expect(peer.count("BYE")).toBe(0);
  peer.ack(invite, answer);
  peer.reply(await peer.next("BYE"), 200);
  await ended;
  expect(bench.agent.counters().dialogs).toBe(0);
});

describe("CANCEL", () => {
  test.each([
    ["before any response of the application", []],
    ["after 180", [180]],
  ])("%s: 200, 487, the application hears it, and its late 200 is refused", async (_, statuses) => {
    const { invite, call } = await arrive();
    for (const status of statuses) {
      await send(call.res, status);
      await peer.next(status);
    }
    peer.cancel(invite);
    const ok = await peer.next(200);
    expect(ok.get("CSeq")).toBe("1 CANCEL");
    const terminated = await peer.next(487);
    expect(terminated.tag("To")).not.toBe("");
    await bench.settle(() => call.cancelled);
    expect(await send(call.res, 200, { body: SDP })).not.toBeNull();
    peer.ack(invite, terminated, invite.branch);
    expect(bench.agent.counters()).toMatchObject({ dialogs: 0, pending: 0 });
    expect(peer.count(200)).toBe(1);
  });

  test("after 200 it gets 200 and changes nothing", async () => {
    const { invite, answer, inDialog } = await answered();
    peer.cancel(invite);
    await peer.next((message) => message.status === 200 && message.get("CSeq").includes("CANCEL"));
    peer.ack(invite, answer);
    peer.request("BYE", answer.contact(), { ...inDialog, cseq: 2 });
    await peer.next((message) => message.status === 200 && message.get("CSeq").includes("BYE"));
    expect(peer.count(487)).toBe(0);
  });

  test("that matches nothing gets 481", async () => {
    peer.request("CANCEL", `sip:600@127.0.0.1:${bench.udp}`);
    await peer.next(481);
  });
});

test("486 is repeated until its ACK, which the application does not see; nothing is left", async () => {
  const { invite, call } = await arrive();
  await send(call.res, 486);
  const busy = await peer.next(486);
  bench.clock.advance(500);
  await bench.settle(() => peer.count(486) === 2);
  peer.ack(invite, busy, invite.branch);
  await bench.settle(() => {
    bench.clock.advance(1_000);
    return bench.agent.counters().transactions === 0;
  });
  const repeats = peer.count(486);
  bench.clock.advance(10_000);
  expect(peer.count(486)).toBe(repeats);
  expect(bench.clock.pending).toBe(0);
});

test("a repeated INVITE is absorbed and answered with the latest response", async () => {
  const { invite, call } = await arrive();
  await send(call.res, 183, { body: SDP });
  await peer.next(183);
  peer.write(invite.text);
  await bench.settle(() => peer.count(183) === 2);
  expect(calls).toHaveLength(1);
});

test("an INVITE that comes twice over different paths gets 482", async () => {
  const { invite } = await arrive();
  peer.request("INVITE", invite.uri, { callId: invite.get("Call-ID"), from: invite.get("From"), body: SDP });
  await peer.next(482);
  expect(calls).toHaveLength(1);
});

test.each([
  ["no Contact", { noContact: true }],
  ["no From tag", { from: "<sip:peer@127.0.0.1>" }],
  ["no URI in Contact", { noContact: true, extra: ["Contact: "] }],
])("an INVITE with %s gets 400 and no application", async (_, options) => {
  peer.request("INVITE", `sip:600@127.0.0.1:${bench.udp}`, { body: SDP, ...options });
  await peer.next(400);
  expect(calls).toHaveLength(0);
});

test("a method that no application routed gets 503", async () => {
  peer.request("MESSAGE", `sip:600@127.0.0.1:${bench.udp}`);
  await peer.next(503);
});

test("an application that stays silent: 480 for the INVITE, and it hears that the call is over", async () => {
  const { call } = await arrive();
  bench.clock.advance(20_000);
  await peer.next(480);
  await bench.settle(() => call.cancelled);
});

test("a phone that rings long is heard of every minute, and not for ever", async () => {
  const { call } = await arrive();
  await send(call.res, 180);
  await peer.next(180);
  for (let minute = 1; minute < 5; minute++) {
    bench.clock.advance(60_000);
    await peer.next(180);
    await send(call.res, 180);
    await peer.next(180);
  }
  bench.clock.advance(60_000);
  await peer.next(480);
  await bench.settle(() => call.cancelled);
});

test("a BYE of the peer ends a re-INVITE of ours that it never answers", async () => {
  const { invite, answer, dialog, inDialog } = await answered();
  peer.ack(invite, answer);
  const ours = dialog.request({ method: "INVITE", body: SDP, headers: { "Content-Type": "application/sdp" } });
  const again = await peer.next("INVITE");
  peer.reply(again, 100);
  await peer.heard();
  peer.request("BYE", answer.contact(), { ...inDialog, cseq: 2 });
  await peer.next("CANCEL");
  bench.clock.advance(32_000);
  expect((await ours).status).toBe(487);
  expect(bench.agent.counters()).toMatchObject({ dialogs: 0, pending: 0 });
});

test("a BYE before the answer ends the INVITE with 487", async () => {
  const { invite, call } = await arrive();
  await send(call.res, 180);
  const ringing = await peer.next(180);
  const options = { callId: invite.get("Call-ID"), from: invite.get("From"), to: ringing.get("To"), cseq: 2 };
  peer.request("BYE", ringing.uri, options);
  await peer.next(487);
  await bench.settle(() => call.cancelled);
  expect(bench.agent.counters().dialogs).toBe(0);
});

test.each(["BYE", "INFO", "OPTIONS", "NOTIFY", "REFER", "UPDATE", "MESSAGE", "INVITE"])(
  "%s for a dialog that does not exist gets 481",
  async (method) => {
    peer.request(method, `sip:600@127.0.0.1:${bench.udp}`, { to: "<sip:600@x>;tag=nobody" });
    await peer.next(481);
  },
);

test.each(["INFO", "REFER", "NOTIFY", "OPTIONS", "MESSAGE", "UPDATE"])(
  "%s inside a dialog goes both ways",
  async (method) => {
    const { invite, answer, dialog, inDialog } = await answered();
    peer.ack(invite, answer);
    const arrived = new Promise<string>((done) =>
      dialog.on(method.toLowerCase(), (req: Msg, res: Reply) => {
        done(req.body);
        res.send(202);
      }),
    );
    const extra = ["Content-Type: text/plain"];
    peer.request(method, answer.contact(), { ...inDialog, cseq: 2, body: "hällo", extra });
    const accepted = await peer.next(202);
    expect(accepted.get("CSeq")).toBe(`2 ${method}`);
    expect(await arrived).toBe("hällo");

    const sent = dialog.request({ method, body: "grüße 🎉", headers: { "Content-Type": "text/plain" } });
    const request = await peer.next(method);
    expect(request.body).toBe("grüße 🎉");
    expect(request.get("Content-Length")).toBe(String(Buffer.byteLength("grüße 🎉")));
    expect(request.uri).toBe(`sip:peer@${peer.host}`);
    expect([request.tag("From"), request.tag("To")]).toEqual([answer.tag("To"), invite.tag("From")]);
    peer.reply(request, 200);
    expect((await sent).status).toBe(200);
  },
);

describe("re-INVITE", () => {
  test("of the peer: the 2xx is repeated until the ACK, which has a new transaction", async () => {
    const { invite, answer, dialog, inDialog } = await answered();
    peer.ack(invite, answer);
    dialog.on("modify", (_: Msg, res: Reply) => res.send(200, { body: SDP }));
    const again = peer.request("INVITE", answer.contact(), { ...inDialog, cseq: 2, body: SDP.replace("4000", "4002") });
    const isSecond = (message: Message): boolean => message.status === 200 && message.get("CSeq") === "2 INVITE";
    const accepted = await peer.next(isSecond);
    expect(accepted.contact()).toBe(answer.contact());
    bench.clock.advance(500);
    await peer.next(isSecond);
    peer.ack(again, accepted);
    await bench.settle(() => bench.agent.counters().pending === 0);
    bench.clock.advance(5_000);
    expect(peer.log.filter(isSecond)).toHaveLength(2);
  });

  test("of ours: the application's ACK goes out with the number of that INVITE", async () => {
    const { invite, answer, dialog } = await answered();
    peer.ack(invite, answer);
    const modified = dialog.modify(SDP.replace("4000", "4004"));
    const again = await peer.next("INVITE");
    expect(again.body).toContain("4004");
    peer.reply(again, 200, { body: SDP });
    const ack = await peer.next("ACK");
    expect(ack.get("CSeq")).toBe(again.get("CSeq").replace("INVITE", "ACK"));
    expect(await modified).toBe(SDP);
  });

  test("glare: the peer's gets 491 while ours is open, and a 491 of the peer reaches the application", async () => {
    const { invite, answer, dialog, inDialog } = await answered();
    peer.ack(invite, answer);
    const ours = dialog.request({ method: "INVITE", body: SDP, headers: { "Content-Type": "application/sdp" } });
    const again = await peer.next("INVITE");
    const theirs = peer.request("INVITE", answer.contact(), { ...inDialog, cseq: 2, body: SDP });
    const refused = await peer.next(491);
    peer.ack(theirs, refused, theirs.branch);
    peer.request("UPDATE", answer.contact(), { ...inDialog, cseq: 3, body: SDP });
    await peer.next(491);
    peer.reply(again, 491);
    expect((await ours).status).toBe(491);
    expect((await peer.next("ACK")).branch).toBe(again.branch);
  });

  test("481 to ours ends the call, and the application hears it", async () => {
    const { invite, answer, dialog } = await answered();
    peer.ack(invite, answer);
    const ended = new Promise((done) => dialog.on("destroy", done));
    const ours = dialog.request({ method: "INVITE", body: SDP, headers: { "Content-Type": "application/sdp" } });
    peer.reply(await peer.next("INVITE"), 481);
    expect((await ours).status).toBe(481);
    await ended;
    peer.reply(await peer.next("BYE"), 481);
  });
});

test("an old CSeq in a dialog gets 500", async () => {
  const { invite, answer, inDialog } = await answered();
  peer.ack(invite, answer);
  peer.request("INFO", answer.contact(), { ...inDialog, cseq: 9 });
  await peer.next((message) => message.status === 200 && message.get("CSeq") === "9 INFO");
  peer.request("INFO", answer.contact(), { ...inDialog, cseq: 8 });
  await peer.next(500);
});

describe("100rel", () => {
  const supported = { extra: ["Supported: 100rel"] };

  test("a reliable 183 is numbered and repeated until its PRACK, and the 200 waits for it", async () => {
    const { invite, call } = await arrive(supported);
    const pracks: string[] = [];
    const headers = { Require: "100rel" };
    call.res.send(183, { body: SDP, headers }, undefined, (prack) => void pracks.push(prack.get("RAck")));
    const early = await peer.next(183);
    expect(early.get("RSeq")).toMatch(/^\d+$/);
    expect(early.all("Contact")).toHaveLength(1);
    bench.clock.advance(500);
    await peer.next(183);
    await send(call.res, 200, { body: SDP });
    expect(peer.count(200)).toBe(0);
    peer.request("PRACK", early.contact(), {
      callId: invite.get("Call-ID"),
      from: invite.get("From"),
      to: early.get("To"),
      cseq: 2,
      extra: [`RAck: ${early.get("RSeq")} 1 INVITE`],
    });
    await peer.next((message) => message.status === 200 && message.get("CSeq") === "1 INVITE");
    await bench.settle(() => pracks.length === 1);
  });

  test("is refused to the application when the peer does not support it", async () => {
    const { call } = await arrive();
    expect(await send(call.res, 183, { headers: { Require: "100rel" } })).toContain("does not support 100rel");
    expect(peer.count(183)).toBe(0);
  });

  test("without a PRACK the INVITE ends with 504", async () => {
    const { call } = await arrive(supported);
    await send(call.res, 183, { headers: { Require: "100rel" }, body: SDP });
    bench.clock.advance(32_000);
    await peer.next(504);
  });

  test("a PRACK that fits nothing gets 481", async () => {
    const { invite, call } = await arrive(supported);
    await send(call.res, 183, { headers: { Require: "100rel" }, body: SDP });
    const early = await peer.next(183);
    peer.request("PRACK", early.contact(), {
      callId: invite.get("Call-ID"),
      from: invite.get("From"),
      to: early.get("To"),
      cseq: 2,
      extra: ["RAck: 99999 1 INVITE"],
    });
    await peer.next(481);
  });
});

describe("NAT", () => {
  test("a Contact that is not where the peer sends from is passed over", async () => {
    const { invite, answer, dialog } = await answered({
      noContact: true,
      extra: ["Contact: <sip:peer@10.1.2.3:5060>"],
    });
    peer.ack(invite, answer);
    const ended = dialog.destroy();
    const bye = await peer.next("BYE");
    expect(bye.uri).toBe("sip:peer@10.1.2.3:5060");
    peer.reply(bye, 200);
    await ended;
  });

  test("responses go to where the request came from, whatever Via says, and tell the peer its address", async () => {
    const branch = "z9hG4bKnat";
    peer.write(
      `OPTIONS sip:x@y SIP/2.0\r\nVia: SIP/2.0/UDP 10.9.9.9:1;rport;branch=${branch}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@y>\r\nCall-ID: n\r\nCSeq: 1 OPTIONS\r\n\r\n`,
    );
    const answer = await peer.next(503);
    expect(answer.get("Via")).toBe(`SIP/2.0/UDP 10.9.9.9:1;branch=${branch};received=127.0.0.1;rport=${peer.port}`);
  });
});

test("Record-Route: kept as received in the answer and as the route of our requests", async () => {
  const second = await bench.udpPeer();
  const extra = [`Record-Route: <sip:127.0.0.1:${second.port};lr>, <sip:10.0.0.9;lr>`];
  const { invite, answer, dialog } = await answered({ extra });
  expect(answer.all("Record-Route")).toEqual([`<sip:127.0.0.1:${second.port};lr>, <sip:10.0.0.9;lr>`]);
  peer.ack(invite, answer);
  const ended = dialog.destroy();
  const bye = await second.next("BYE");
  expect(bye.all("Route")).toEqual([`<sip:127.0.0.1:${second.port};lr>`, "<sip:10.0.0.9;lr>"]);
  expect(bye.uri).toBe(`sip:peer@${peer.host}`);
  second.reply(bye, 200);
  await ended;
});

test("folded lines, compact names, UTF-8 and an empty body reach the application whole", async () => {
  const seen: Msg[] = [];
  const other = await bench.app((app) =>
    app.use("message", (req, res) => {
      seen.push(req);
      res.send(200);
    }),
  );
  const extra = ["s: Müller\r\n  und Söhne", "X-Long: a,\r\n\tb"];
  peer.request("MESSAGE", `sip:600@127.0.0.1:${bench.udp}`, { extra });
  await peer.next(200);
  expect(seen[0]?.get("Subject")).toBe("Müller und Söhne");
  expect(seen[0]?.get("X-Long")).toBe("a, b");
  expect(seen[0]?.body).toBe("");
  bench.disconnect(other);
});
