import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  Cleanup,
  dialRequest,
  hungUp,
  ourOffer,
  pbxAnswer,
  ScriptedPbx,
  startEdge,
  Told,
  type World,
} from "./support.ts";

const cleanup = new Cleanup();
let pbx: ScriptedPbx;
let world: World;
let told: Told;
let dialogId: string;
let hangUp: () => Promise<void>;

const hold = pbxAnswer.replace("0-16\r\n", "0-16\r\na=sendonly\r\n");
const sdpHeaders = { "Content-Type": "application/sdp" };

beforeEach(async () => {
  pbx = cleanup.add(await new ScriptedPbx().start(), (each) => each.stop());
  world = await startEdge(cleanup, { port: pbx.port });
  told = new Told();
  const leg = world.edge.dial(dialRequest("100"), told);
  hangUp = () => leg.hangUp(hungUp);
  dialogId = await pbx.answer(await pbx.request("INVITE"));
  await told.until(/^answered PCMU$/);
  await pbx.request("ACK");
});
afterEach(async () => {
  await hangUp();
  await expect.poll(() => world.edge.counters()).toEqual({ legs: 0, dialogs: 0, replies: 0, transactions: 0 });
  await cleanup.run();
});

describe("an offer of the PBX inside the call", () => {
  test.each(["INVITE", "UPDATE"])("by %s is answered by us", async (method) => {
    const answer = await pbx.ask(method, { dialogId, headers: sdpHeaders, body: hold });
    expect(answer.status).toBe(200);
    expect(answer.body).toBe(ourOffer);
    expect(answer.header("Content-Type")).toBe("application/sdp");
    expect(told.lines).toEqual(["answered PCMU", "offered PCMU sendonly"]);
  });

  test.each(["INVITE", "UPDATE"])("by %s that does not suit is refused, and the call goes on", async (method) => {
    told.answerOffer = async () => undefined;
    expect((await pbx.ask(method, { dialogId, headers: sdpHeaders, body: hold })).status).toBe(488);
    told.answerOffer = async () => ourOffer;
    expect((await pbx.ask(method, { dialogId, headers: sdpHeaders, body: hold })).status).toBe(200);
  });

  test("that we fail to answer gets 500, and the call goes on", async () => {
    told.answerOffer = () => Promise.reject(new Error("media is away"));
    expect((await pbx.ask("INVITE", { dialogId, headers: sdpHeaders, body: hold })).status).toBe(500);
    expect((await pbx.ask("OPTIONS", { dialogId })).status).toBe(200);
    expect(world.log.lines.map((line) => line.message)).toContain("offer of the pbx not answered");
  });

  test("in a body that is no SDP gets 415", async () => {
    const headers = { "Content-Type": "text/plain" };
    expect((await pbx.ask("INVITE", { dialogId, headers, body: "hello" })).status).toBe(415);
  });

  test("is asked of us by a re-INVITE without SDP, and answered in the ACK", async () => {
    const answer = await pbx.ask("INVITE", { dialogId, noAck: true });
    expect([answer.status, answer.body]).toEqual([200, ourOffer]);
    pbx.tell("ACK", dialogId, pbxAnswer);
    await told.until(/^our offer answered PCMU$/);
    expect(told.lines).toEqual(["answered PCMU", "offer wanted", "our offer answered PCMU"]);
  });
});

test("UPDATE without SDP refreshes the session on the PBX's terms", async () => {
  const headers = { "Session-Expires": "1800;refresher=uac", Supported: "timer" };
  const answer = await pbx.ask("UPDATE", { dialogId, headers });
  expect([answer.status, answer.header("Session-Expires"), answer.header("Require")]).toEqual([
    200,
    "1800;refresher=uac",
    "timer",
  ]);
});

test("digits come by INFO in both vendors' forms", async () => {
  const info = (type: string, body: string) =>
    pbx.ask("INFO", { dialogId, headers: { "Content-Type": type }, body }).then((answer) => answer.status);
  expect(await info("application/dtmf-relay", "Signal=5\r\nDuration=240\r\n")).toBe(200);
  expect(await info("application/dtmf", "#")).toBe(200);
  expect(await info("application/dtmf-relay", "Signal=?\r\n")).toBe(415);
  expect(await info("application/media_control+xml", "<x/>")).toBe(415);
  expect((await pbx.ask("INFO", { dialogId })).status).toBe(200);
  expect(told.lines.slice(1)).toEqual(["digit 5 240", "digit # 160"]);
});

test.each([
  ["OPTIONS", 200],
  ["REFER", 603],
  ["NOTIFY", 489],
  ["MESSAGE", 405],
])("%s inside the call gets %d, and the call goes on", async (method, status) => {
  const headers: Record<string, Record<string, string>> = {
    REFER: { "Refer-To": "<sip:601@127.0.0.1>" },
    NOTIFY: { Event: "refer", "Subscription-State": "active" },
  };
  expect((await pbx.ask(method, { dialogId, headers: headers[method] ?? {} })).status).toBe(status);
  expect(told.lines).toEqual(["answered PCMU"]);
});

test("the PBX hangs up, and says why", async () => {
  const bye = await pbx.ask("BYE", { dialogId, headers: { Reason: 'Q.850;cause=31;text="enough"' } });
  expect(bye.status).toBe(200);
  expect(told.lines).toEqual(["answered PCMU", "ended by pbx q.850 31"]);
});

test("we hang up, twice, and say why once", async () => {
  await Promise.all([hangUp(), hangUp()]);
  const byes = pbx.seen.filter((request) => request.method === "BYE");
  expect(byes.map((bye) => bye.header("Reason"))).toEqual(['Q.850;cause=16;text="hangup"']);
  expect(told.lines).toEqual(["answered PCMU", "ended by agent"]);
});

test("both hang up at the same time, and the call ends once", async () => {
  const [answer] = await Promise.all([pbx.ask("BYE", { dialogId }), hangUp()]);
  expect([200, 481]).toContain(answer.status);
  expect(told.lines.filter((line) => line.startsWith("ended"))).toHaveLength(1);
});

test("the INVITE that was sent shows the call and what we can", async () => {
  const invite = await pbx.request("INVITE");
  const header = (name: string) => invite.header(name);
  expect(invite.uri).toBe(`sip:100@127.0.0.1:${pbx.port}`);
  expect([header("X-Ponte-Call"), header("Supported"), header("User-Agent")]).toEqual(["call-1", "timer", "ponte"]);
  expect(header("Allow")).toBe("INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE");
  expect(header("From")).toMatch(/^<sip:anonymous@127\.0\.0\.1>;tag=/);
});
