import { afterEach, beforeEach, expect, test } from "vitest";
import {
  Cleanup,
  dialRequest,
  gaveUp,
  ourOffer,
  pbxAnswer,
  ScriptedPbx,
  silentPeer,
  startEdge,
  Told,
  type World,
} from "./support.ts";

const cleanup = new Cleanup();
let pbx: ScriptedPbx;
let world: World;

beforeEach(async () => {
  pbx = cleanup.add(await new ScriptedPbx().start(), (each) => each.stop());
  world = await startEdge(cleanup, { port: pbx.port });
});
afterEach(() => cleanup.run());

async function nothingLeft(): Promise<void> {
  await expect.poll(() => world.edge.counters()).toEqual({ legs: 0, dialogs: 0, replies: 0, transactions: 0 });
  expect(world.clock.pending).toBe(1); // The ping of the engine.
  await expect.poll(() => [world.agent.counters().dialogs, pbx.agent.counters().dialogs]).toEqual([0, 0]);
}

test("a call that is hung up at once is not placed", async () => {
  const told = new Told();
  const leg = world.edge.dial(dialRequest("100"), told);
  await Promise.all([leg.hangUp(gaveUp), leg.hangUp(gaveUp)]);
  expect(told.lines).toEqual(["failed 487"]);
  await nothingLeft();
  expect(pbx.seen).toEqual([]);
});

test("a call that is hung up while its INVITE goes out is cancelled", async () => {
  const told = new Told();
  const leg = world.edge.dial(dialRequest("100"), told);
  await Promise.resolve();
  const over = leg.hangUp(gaveUp);
  const invite = await pbx.request("INVITE");
  const cancelled = new Promise<void>((resolve) => invite.onCancel(resolve));
  await over;
  await cancelled;
  expect(told.lines).toEqual(["failed 487"]);
  await nothingLeft();
});

test("a ringing call is cancelled with a reason", async () => {
  const told = new Told();
  const leg = world.edge.dial(dialRequest("100"), told);
  const invite = await pbx.request("INVITE");
  const cancelled = new Promise<void>((resolve) => invite.onCancel(resolve));
  invite.respond(180);
  await told.until(/^progress 180$/);
  await leg.hangUp(gaveUp);
  await cancelled;
  expect(told.lines).toEqual(["progress 180", "failed 487"]);
  await nothingLeft();
});

test("a 200 that crosses our CANCEL is acknowledged and ended by BYE", async () => {
  const told = new Told();
  const leg = world.edge.dial(dialRequest("100"), told);
  told.onLine = (line) => {
    // The 200 is behind the 183 on the wire already: our CANCEL comes too late for the PBX.
    if (line.startsWith("progress")) void leg.hangUp(gaveUp);
  };
  const invite = await pbx.request("INVITE");
  invite.respond(183, { headers: { "Content-Type": "application/sdp" }, body: pbxAnswer });
  await pbx.answer(invite);
  await pbx.request("ACK");
  await pbx.request("BYE");
  expect(await told.end()).toBe("failed 487");
  expect(told.lines).toEqual(["progress 183 with sdp", "failed 487"]);
  await nothingLeft();
});

test("a PBX that takes no notice of CANCEL does not keep us, and its late 200 is ended by BYE", async () => {
  const { socket, port } = await silentPeer(cleanup);
  const alone = await startEdge(cleanup, { port }, { goodbyeMs: 100 });
  const methods: string[] = [];
  let invite = "";
  const reply = (status: string, more = ""): void => {
    const via = /^Via:.*$/im.exec(invite)?.[0] ?? "";
    const copied = ["From", "Call-ID", "CSeq"].map((name) => new RegExp(`^${name}:.*$`, "im").exec(invite)?.[0]);
    const to = `${/^To:.*$/im.exec(invite)?.[0]};tag=p1`;
    const body = more === "" ? "" : pbxAnswer;
    const text = [
      `SIP/2.0 ${status}`,
      via,
      ...copied,
      to,
      ...(more === "" ? [] : [more]),
      `Content-Length: ${body.length}`,
    ];
    const target = Number(/^Via:\s*\S+\s+[^:]+:(\d+)/im.exec(invite)?.[1]);
    socket.send(`${text.join("\r\n")}\r\n\r\n${body}`, target, "127.0.0.1");
  };
  const bye = new Promise<void>((resolve) => {
    socket.on("message", (bytes) => {
      const text = bytes.toString();
      methods.push(text.slice(0, text.indexOf(" ")));
      if (text.startsWith("INVITE") && invite === "") {
        invite = text;
        reply("180 Ringing", `Contact: <sip:127.0.0.1:${port}>`);
      }
      if (text.startsWith("BYE")) resolve();
    });
  });
  const told = new Told();
  const leg = alone.edge.dial(dialRequest("100"), told);
  await told.until(/^progress/);
  await leg.hangUp(gaveUp);
  expect(told.lines.at(-1)).toBe("failed 487");
  expect(alone.edge.counters().legs).toBe(0);
  reply("200 OK", `Contact: <sip:127.0.0.1:${port}>\r\nContent-Type: application/sdp`);
  await bye;
  expect(methods).toContain("CANCEL");
  expect(methods).toContain("ACK");
  expect(told.lines.filter((line) => line.startsWith("failed"))).toHaveLength(1);
});

test("an answer without SDP is acknowledged, ended by BYE, and told as a failure", async () => {
  const told = new Told();
  world.edge.dial(dialRequest("100"), told);
  (await pbx.request("INVITE")).respond(200);
  await pbx.request("BYE");
  expect(await told.end()).toBe("failed 488");
  await nothingLeft();
});

test("an answer whose SDP came with the 183 counts", async () => {
  const told = new Told();
  const leg = world.edge.dial(dialRequest("100"), told);
  const invite = await pbx.request("INVITE");
  invite.respond(183, { headers: { "Content-Type": "application/sdp" }, body: pbxAnswer });
  invite.respond(200);
  await told.until(/^answered PCMU$/);
  expect(told.sdp).toBe(pbxAnswer);
  await leg.hangUp(gaveUp);
  await nothingLeft();
});

test("nothing is told before dial has returned, nor after the end", async () => {
  const told = new Told();
  const leg = world.edge.dial(dialRequest("100", { trunk: "nowhere" }), told);
  expect(told.lines).toEqual([]);
  expect(await told.end()).toBe("failed 503");
  await leg.hangUp(gaveUp);
  expect(told.lines).toEqual(["failed 503"]);
  await nothingLeft();
});

test("hostile header values reach the PBX as one harmless line", async () => {
  const told = new Told();
  world.edge.dial(
    dialRequest("100\r\nX-Evil: 1", {
      headers: { "X-Payload": "a\r\nX-Evil: 1\r\n\r\nv=0", "X Bad\r\nX-Evil": "1", "X-Long": "é".repeat(5_000) },
      callerNumber: "5511\r\nX-Evil: 1",
      callerName: 'Zoë "🙂" <sip:x@localhost>\r\nX-Evil: 1',
    }),
    told,
  );
  const invite = await pbx.request("INVITE");
  invite.respond(486);
  await told.end();
  expect(invite.header("X-Evil")).toBeUndefined();
  expect(invite.header("X-Payload")).toBe("a X-Evil: 1 v=0");
  expect(invite.header("X-Long")).toBe("é".repeat(512));
  expect(invite.header("From")).toMatch(
    /^"Zoë \\"🙂\\" <sip:x@ localhost> X-Evil: 1" <sip:5511%0D%0AX-Evil%3A%201@127\.0\.0\.1>/,
  );
  expect(invite.body).toBe(ourOffer);
  expect(world.log.lines.some((line) => line.message.includes("impossible names"))).toBe(true);
});
