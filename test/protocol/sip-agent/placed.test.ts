import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Bench, type Msg, type Reply, response, SDP, type Srf, type SrfDialog } from "./support/bench.ts";
import type { Message, UdpPeer } from "./support/peer.ts";

let bench: Bench;
let peer: UdpPeer;
let srf: Srf;
let sip: number;

beforeEach(async () => {
  bench = await Bench.start();
  peer = await bench.udpPeer();
  srf = await bench.app();
  sip = bench.udp;
});
afterEach(() => bench.stop());

type Placed = {
  readonly dialog: Promise<SrfDialog>;
  readonly request: Promise<Msg>;
  readonly provisional: Msg[];
  readonly invite: Message;
};

async function place(options: object = {}, host = peer.host): Promise<Placed> {
  const provisional: Msg[] = [];
  let sent: (request: Msg) => void = () => undefined;
  const request = new Promise<Msg>((done) => {
    sent = done;
  });
  const dialog = srf.createUAC(
    `sip:600@${host}`,
    { localSdp: SDP, ...options },
    { cbRequest: (_, req) => sent(req), cbProvisional: (res) => void provisional.push(res) },
  );
  dialog.catch(() => undefined);
  return { dialog, request, provisional, invite: await peer.next("INVITE") };
}

async function up(
  options: object = {},
  reply: object = {},
): Promise<{ dialog: SrfDialog; invite: Message; ack: Message }> {
  const placed = await place(options);
  peer.reply(placed.invite, 200, { body: SDP, ...reply });
  return { dialog: await placed.dialog, invite: placed.invite, ack: await peer.next("ACK") };
}

const isMade = (answer: Msg): boolean => answer.source === "network";

test("a repeated 200 gets the same ACK again and is not delivered twice", async () => {
  const { invite, ack } = await up();
  peer.reply(invite, 200, { body: SDP });
  const again = await peer.next("ACK");
  expect(again.text).toBe(ack.text);
  expect(srf._app.client.idle).toBe(true);
});

test("100 is delivered to an application that asked for it, and to no other", async () => {
  const asking = await bench.app((app) => app.use("trying", () => undefined));
  const statuses = new Map<Srf, number[]>();
  for (const app of [srf, asking]) {
    const seen: number[] = [];
    statuses.set(app, seen);
    const options = { method: "INVITE", body: SDP, headers: { "Content-Type": "application/sdp" } };
    app.request(`sip:600@${peer.host}`, options, (_, sent) => {
      sent?.on("response", (answer: Msg) => void seen.push(answer.status));
    });
    const invite = await peer.next("INVITE");
    peer.reply(invite, 100);
    peer.reply(invite, 486);
    await bench.settle(() => seen.includes(486));
    await peer.next("ACK");
  }
  expect([...statuses.values()]).toEqual([[486], [100, 486]]);
});

test("603: the agent acknowledges hop by hop, and the application's own ACK goes nowhere", async () => {
  const placed = await place();
  peer.reply(placed.invite, 603);
  const ack = await peer.next("ACK");
  expect(ack.branch).toBe(placed.invite.branch);
  expect(ack.uri).toBe(placed.invite.uri);
  await expect(placed.dialog).rejects.toMatchObject({ status: 603 });
  peer.reply(placed.invite, 603);
  await peer.next("ACK");
  expect(bench.agent.counters()).toMatchObject({ dialogs: 0, pending: 0 });
  expect(peer.count("ACK")).toBe(2);
});

describe("digest", () => {
  const auth = { auth: { username: "ponte", password: "secret" } };
  const challenge = {
    extra: [
      'WWW-Authenticate: Digest realm="x",nonce="abc",algorithm=MD5,qop="auth"',
      'WWW-Authenticate: Digest realm="x",nonce="abc",algorithm=SHA-256,qop="auth"',
    ],
  };

  test("401, then 200: same Call-ID and From tag, the next CSeq; MD5 comes last to the application", async () => {
    const placed = await place(auth);
    peer.reply(placed.invite, 401, challenge);
    const retry = await peer.next("INVITE");
    expect(retry.get("Call-ID")).toBe(placed.invite.get("Call-ID"));
    expect(retry.tag("From")).toBe(placed.invite.tag("From"));
    expect(retry.branch).not.toBe(placed.invite.branch);
    expect(Number.parseInt(retry.get("CSeq"), 10)).toBe(Number.parseInt(placed.invite.get("CSeq"), 10) + 1);
    expect(retry.get("Authorization")).toContain("algorithm=MD5");
    peer.reply(retry, 200, { body: SDP });
    const dialog = await placed.dialog;
    const ended = dialog.destroy();
    peer.reply(await peer.next("BYE"), 200);
    await ended;
    expect(bench.agent.counters().dialogs).toBe(0);
  });

  test("407 twice: the application sees 407", async () => {
    const placed = await place(auth);
    const proxy = { extra: ['Proxy-Authenticate: Digest realm="x",nonce="n"'] };
    peer.reply(placed.invite, 407, proxy);
    peer.reply(await peer.next("INVITE"), 407, proxy);
    await expect(placed.dialog).rejects.toMatchObject({ status: 407 });
    expect(bench.agent.counters().dialogs).toBe(0);
  });
});

describe("CANCEL", () => {
  test("waits for a provisional response, takes the application's Reason along, and ends in 487", async () => {
    const placed = await place();
    const request = await placed.request;
    const accepted = new Promise<unknown>((done) => request.cancel({ headers: { Reason: "SIP;cause=200" } }, done));
    expect(await accepted).toBeNull();
    expect(peer.count("CANCEL")).toBe(0);
    peer.reply(placed.invite, 100);
    const cancel = await peer.next("CANCEL");
    expect(cancel.branch).toBe(placed.invite.branch);
    expect(cancel.get("CSeq")).toBe(placed.invite.get("CSeq").replace("INVITE", "CANCEL"));
    expect(cancel.get("Reason")).toBe("SIP;cause=200");
    peer.reply(cancel, 200);
    peer.reply(placed.invite, 487);
    await expect(placed.dialog).rejects.toMatchObject({ status: 487 });
  });

  test("that crosses a 200: delivered, acknowledged, then BYE, and the application hears it", async () => {
    const placed = await place();
    peer.reply(placed.invite, 180);
    await bench.settle(() => placed.provisional.length === 1);
    (await placed.request).cancel();
    peer.reply(await peer.next("CANCEL"), 200);
    peer.reply(placed.invite, 200, { body: SDP });
    const dialog = await placed.dialog;
    const reason = new Promise((done) => dialog.on("destroy", (_: Msg, why: string) => done(why)));
    await peer.next("ACK");
    const bye = await peer.next("BYE");
    peer.reply(bye, 200);
    expect(await reason).toBe("ACK-BYE due to cancel race condition");
  });

  test("of a call that is over is refused", async () => {
    const placed = await place();
    peer.reply(placed.invite, 486);
    await expect(placed.dialog).rejects.toMatchObject({ status: 486 });
    const request = await placed.request;
    const error = await new Promise<Error>((done) => request.cancel({}, (why) => done(why as Error)));
    expect(error.message).toContain("unable to cancel unknown transaction id");
  });

  test("that nobody answers ends after 32 s with 487", async () => {
    const placed = await place();
    peer.reply(placed.invite, 180);
    await bench.settle(() => placed.provisional.length === 1);
    (await placed.request).cancel();
    await peer.next("CANCEL");
    bench.clock.advance(32_000);
    await expect(placed.dialog).rejects.toMatchObject({ status: 487 });
  });
});

test("two 2xx with different tags: the second one gets ACK and BYE", async () => {
  const other = await bench.udpPeer();
  const { dialog, invite } = await up();
  const contact = `<sip:other@${other.host}>`;
  peer.reply(invite, 200, { body: SDP, tag: "other", noContact: true, extra: [`Contact: ${contact}`] });
  const ack = await other.next("ACK");
  expect(ack.tag("To")).toBe("other");
  const bye = await other.next("BYE");
  expect(bye.tag("To")).toBe("other");
  other.reply(bye, 200);
  const ended = dialog.destroy();
  const ours = await peer.next("BYE");
  expect(ours.tag("To")).toBe("peer-tag");
  peer.reply(ours, 200);
  await ended;
  expect(bench.agent.counters()).toMatchObject({ dialogs: 0, forks_ended: 1 });
});

test("early dialogs of a fork: each has its own tag, and the answered one stays", async () => {
  const placed = await place();
  peer.reply(placed.invite, 180, { tag: "one" });
  peer.reply(placed.invite, 183, { tag: "two", body: SDP });
  await bench.settle(() => placed.provisional.length === 2);
  expect(new Set(placed.provisional.map((res) => res.stackDialogId)).size).toBe(1);
  expect(bench.agent.counters().dialogs).toBe(2);
  peer.reply(placed.invite, 200, { tag: "one", body: SDP });
  const dialog = await placed.dialog;
  expect(dialog.sip.remoteTag).toBe("one");
  expect(bench.agent.counters().dialogs).toBe(1);
});

describe("silence", () => {
  test("INVITE is repeated at 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s and ends in 408 at 32 s", async () => {
    const placed = await place();
    const sent: number[] = [];
    for (let ms = 100; ms < 32_000; ms += 100) {
      const before = peer.count("INVITE");
      bench.clock.advance(100);
      if ([500, 1_500, 3_500, 7_500, 15_500, 31_500].includes(ms)) {
        await bench.settle(() => peer.count("INVITE") > before);
        sent.push(ms);
      }
    }
    expect(sent).toHaveLength(6);
    expect(peer.count("INVITE")).toBe(7);
    bench.clock.advance(100);
    await expect(placed.dialog).rejects.toMatchObject({ status: 408 });
  });

  test("OPTIONS ends in 408 at 32 s", async () => {
    const answer = new Promise<Msg>((done) => {
      srf.request(`sip:${peer.host}`, { method: "OPTIONS" }, (_, request) => void response(request).then(done));
    });
    await peer.next("OPTIONS");
    bench.clock.advance(32_000);
    const timeout = await answer;
    expect(timeout.status).toBe(408);
    expect(isMade(timeout)).toBe(true);
    expect(peer.count("OPTIONS")).toBeGreaterThan(1);
  });
});

test("a request outside a dialog: From, To, tags, Call-ID and CSeq are filled in; the answer is delivered", async () => {
  const headers = { Contact: "<sip:ponte@localhost>", "X-Ponte-Call": "42", From: "<sip:ponte@localhost>" };
  const answer = new Promise<Msg>((done) => {
    srf.request(`sip:${peer.host}`, { method: "REGISTER", headers }, (_, request) => void response(request).then(done));
  });
  const register = await peer.next("REGISTER");
  expect(register.get("From")).toContain(`<sip:ponte@127.0.0.1:${sip}>;tag=`);
  expect(register.get("To")).toBe(`<sip:${peer.host}>`);
  expect(register.get("Contact")).toBe(`<sip:ponte@127.0.0.1:${sip}>`);
  expect(register.get("X-Ponte-Call")).toBe("42");
  expect(register.get("Max-Forwards")).toBe("70");
  peer.reply(register, 200);
  expect((await answer).status).toBe(200);
});

describe("refused at once", () => {
  const refused = async (uri: string, options: object): Promise<string> => {
    const error = await new Promise((done) => srf.request(uri, options, (why) => done(why)));
    return (error as Error).message;
  };
  test.each([
    [
      "a transport that is not there",
      "sip:600@127.0.0.1;transport=ws",
      {},
      "requested protocol/transport not available",
    ],
    ["TLS", "sips:600@127.0.0.1", {}, "requested protocol/transport not available"],
    ["a URI that is none", "sip:600@ho$t", {}, "invalid request-uri"],
    ["a body without type", "sip:600@127.0.0.1:9", { body: "hello" }, "missing content-type"],
  ])("%s", async (_, uri, options, reason) => {
    expect(await refused(uri, { method: "MESSAGE", ...options })).toContain(reason);
  });

  test("a call to the agent itself", async () => {
    expect(await refused(`sip:600@127.0.0.1:${sip}`, { method: "INVITE", body: SDP })).toBe(
      "can not send request to myself",
    );
  });
});

test("a name that cannot be resolved ends in 503", async () => {
  await bench.stop();
  const unknown = (): Promise<never> => Promise.reject(new Error("ENOTFOUND"));
  bench = await Bench.start({ dns: { addresses: unknown, service: unknown } });
  srf = await bench.app();
  await expect(srf.createUAC("sip:600@nowhere.example", { localSdp: SDP })).rejects.toMatchObject({ status: 503 });
});

test("a name is resolved by SRV, then by its address", async () => {
  await bench.stop();
  const asked: string[] = [];
  const found = await bench.udpPeer();
  bench = await Bench.start({
    dns: {
      service: async (name) => {
        asked.push(name);
        return [{ name: "a.example", port: found.port }];
      },
      addresses: async (name) => {
        asked.push(name);
        return ["::1", "127.0.0.1"];
      },
    },
  });
  srf = await bench.app();
  found.aim(bench.udp);
  const placed = srf.createUAC("sip:600@pbx.example", { localSdp: SDP });
  found.reply(await found.next("INVITE"), 486);
  await expect(placed).rejects.toMatchObject({ status: 486 });
  expect(asked).toEqual(["_sip._udp.pbx.example", "a.example"]);
  await found.close();
});

test("proxy: the packet goes there, the Request-URI stays", async () => {
  const placed = srf.createUAC("sip:600@pbx.example", { localSdp: SDP, proxy: `sip:${peer.host}` });
  const invite = await peer.next("INVITE");
  expect(invite.uri).toBe("sip:600@pbx.example");
  expect(invite.all("Route")).toEqual([]);
  peer.reply(invite, 404);
  await expect(placed).rejects.toMatchObject({ status: 404 });
});

test("Record-Route: the caller's route is the received one reversed; a strict router gets the Request-URI", async () => {
  const strict = await bench.udpPeer();
  const extra = ["Record-Route: <sip:10.0.0.9;lr>", `Record-Route: <sip:127.0.0.1:${strict.port}>`];
  const placed = await place();
  peer.reply(placed.invite, 200, { body: SDP, extra });
  await placed.dialog;
  const ack = await strict.next("ACK");
  expect(ack.uri).toBe(`sip:127.0.0.1:${strict.port}`);
  expect(ack.all("Route")).toEqual(["<sip:10.0.0.9;lr>", `<sip:peer@${peer.host}>`]);
});

test("a 200 without Contact still makes a call that can be ended", async () => {
  const { dialog } = await up({}, { noContact: true });
  const ended = dialog.destroy();
  peer.reply(await peer.next("BYE"), 200);
  await ended;
});

test("late offer: the answer goes out in the ACK", async () => {
  const placed = await place({ localSdp: undefined, noAck: true });
  expect(placed.invite.body).toBe("");
  peer.reply(placed.invite, 200, { body: SDP });
  const late = (await placed.dialog) as unknown as { sdp: string; ack: (sdp: string) => Promise<SrfDialog> };
  expect(late.sdp).toBe(SDP);
  expect(peer.count("ACK")).toBe(0);
  await late.ack(SDP.replace("4000", "4010"));
  const ack = await peer.next("ACK");
  expect(ack.body).toContain("4010");
  expect(ack.get("Content-Type")).toBe("application/sdp");
});

test("PRACK: a reliable 183 is delivered once, and its PRACK goes out in the early dialog", async () => {
  const placed = await place();
  const extra = ["Require: 100rel", "RSeq: 7"];
  peer.reply(placed.invite, 183, { body: SDP, extra });
  const prack = await peer.next("PRACK");
  expect(prack.get("RAck")).toBe(`7 ${placed.invite.get("CSeq")}`);
  expect(prack.tag("To")).toBe("peer-tag");
  peer.reply(placed.invite, 183, { body: SDP, extra });
  peer.reply(prack, 200);
  peer.reply(placed.invite, 200, { body: SDP });
  await placed.dialog;
  expect(placed.provisional).toHaveLength(1);
  expect(peer.count("PRACK")).toBe(1);
});

test("UPDATE of the peer in the early dialog reaches the pending call", async () => {
  const placed = await place();
  peer.reply(placed.invite, 183);
  await bench.settle(() => placed.provisional.length === 1);
  peer.request("UPDATE", placed.invite.contact(), {
    callId: placed.invite.get("Call-ID"),
    from: `${placed.invite.get("To")};tag=peer-tag`,
    to: placed.invite.get("From"),
  });
  const ok = await peer.next(200);
  expect(ok.get("CSeq")).toBe("1 UPDATE");
});

test("BYE and INFO of the peer in a placed call reach the dialog", async () => {
  const { dialog, invite } = await up();
  const info = new Promise<string>((done) =>
    dialog.on("info", (req: Msg, res: Reply) => {
      done(req.get("X-What"));
      res.send(200);
    }),
  );
  const ended = new Promise((done) => dialog.on("destroy", done));
  const ids = {
    callId: invite.get("Call-ID"),
    from: `${invite.get("To")};tag=peer-tag`,
    to: invite.get("From"),
  };
  peer.request("INFO", invite.contact(), { ...ids, cseq: 10, extra: ["X-What: digit"] });
  expect(await info).toBe("digit");
  peer.request("BYE", invite.contact(), { ...ids, cseq: 11 });
  await ended;
  await peer.next((message) => message.status === 200 && message.get("CSeq") === "11 BYE");
});

describe("BYE", () => {
  test("is answered 408 to the application when the peer is gone, and the dialog goes too", async () => {
    const { dialog } = await up();
    const ended = dialog.destroy();
    await peer.next("BYE");
    bench.clock.advance(32_000);
    await ended;
    expect(bench.agent.counters().dialogs).toBe(0);
  });

  test("during a re-INVITE cancels it first", async () => {
    const { dialog } = await up();
    const modified = dialog.request({ method: "INVITE", body: SDP, headers: { "Content-Type": "application/sdp" } });
    const again = await peer.next("INVITE");
    peer.reply(again, 100);
    await peer.heard();
    const ended = dialog.destroy();
    await peer.next("CANCEL");
    peer.reply(await peer.next("BYE"), 200);
    peer.reply(again, 487);
    expect((await modified).status).toBe(487);
    await ended;
  });
});
