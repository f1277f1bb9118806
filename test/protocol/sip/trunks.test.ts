import { afterEach, describe, expect, test } from "vitest";
import { Cleanup, dialRequest, gaveUp, ScriptedPbx, silentPeer, startEdge, Told } from "./support.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

async function scripted(): Promise<ScriptedPbx> {
  const pbx = cleanup.add(await new ScriptedPbx().start(), (each) => each.stop());
  pbx.onRequest = (request) => {
    if (request.method === "OPTIONS") request.respond(404);
  };
  return pbx;
}

describe("a trunk", () => {
  test("is up with any answer to OPTIONS, and down without one", async () => {
    const pbx = await scripted();
    const world = await startEdge(cleanup, { port: pbx.port, optionsIntervalMs: 20 });
    await expect.poll(() => world.edge.trunkStates()).toMatchObject([{ name: "pbx", state: "up", status: 404 }]);
    pbx.onRequest = (request) => {
      if (request.method === "OPTIONS") request.respond(503);
    };
    await expect.poll(() => world.edge.trunkStates()).toMatchObject([{ state: "up", status: 503 }]);
    const lines = world.log.lines.map((line) => line.message).filter((message) => message.startsWith("trunk"));
    expect(lines).toEqual(["trunk up"]);
  });

  test("over TCP that nobody takes is down at once", async () => {
    const pbx = await scripted();
    const port = pbx.tcpPort;
    await pbx.stop();
    const world = await startEdge(cleanup, { port, transport: "tcp", optionsIntervalMs: 60_000 });
    await expect.poll(() => world.edge.trunkStates()).toMatchObject([{ state: "down" }]);
    const told = new Told();
    world.edge.dial(dialRequest("100"), told);
    expect(await told.end()).toBe("failed 503");
  });

  test("that is not asked stays unknown", async () => {
    const world = await startEdge(cleanup, { optionsIntervalMs: 0 });
    expect(world.edge.trunkStates()).toMatchObject([{ state: "unknown" }]);
  });
});

describe("a call to a PBX", () => {
  const limits = { probeAfterMs: 40, noResponseMs: 120, goodbyeMs: 100 };

  test.each([
    ["that is gone", 60_000],
    ["that is gone, and is not asked regularly,", 0],
  ])("%s fails within the limit, and leaves no timer", async (_, optionsIntervalMs) => {
    const { port } = await silentPeer(cleanup);
    const world = await startEdge(cleanup, { port, optionsIntervalMs }, limits);
    const timers = world.clock.pending;
    const told = new Told();
    const startedAt = performance.now();
    const leg = world.edge.dial(dialRequest("100"), told);
    expect(await told.end()).toBe("failed 408");
    const tookMs = performance.now() - startedAt;
    expect(tookMs).toBeGreaterThan(100);
    expect(tookMs, "not the 32 s of a transaction").toBeLessThan(10_000);
    await leg.hangUp(gaveUp);
    expect(world.edge.counters()).toMatchObject({ legs: 0, dialogs: 0 });
    expect(world.clock.pending).toBe(timers);
  });

  test.each([
    ["regularly", 60_000],
    ["never", 0],
  ])("that says 100 and ignores OPTIONS, asked %s, is waited for", async (_, optionsIntervalMs) => {
    const pbx = cleanup.add(await new ScriptedPbx().start(), (each) => each.stop());
    const world = await startEdge(cleanup, { port: pbx.port, optionsIntervalMs }, limits);
    const timers = world.clock.pending;
    const told = new Told();
    const leg = world.edge.dial(dialRequest("100"), told);
    const invite = await pbx.request("INVITE");
    expect(world.clock.pending, "the probe waits").toBe(timers + 1);
    await expect.poll(() => world.clock.pending).toBe(timers);
    expect(told.lines).toEqual([]);
    invite.respond(180);
    await told.until(/^progress 180$/);
    await leg.hangUp(gaveUp);
    expect(told.lines).toEqual(["progress 180", "failed 487"]);
  });

  test("that answers OPTIONS is waited for, although it says nothing to the INVITE", async () => {
    const { socket, port } = await silentPeer(cleanup);
    let asked = 0;
    socket.on("message", (bytes, from) => {
      const request = bytes.toString();
      if (!request.startsWith("OPTIONS ")) return;
      asked += 1;
      socket.send(responseTo(request, "404 Not Found"), from.port, from.address);
    });
    const world = await startEdge(cleanup, { port, optionsIntervalMs: 60_000 }, { ...limits, noResponseMs: 5_000 });
    await expect.poll(() => world.edge.trunkStates()).toMatchObject([{ state: "up" }]);
    const timers = world.clock.pending;
    const told = new Told();
    const leg = world.edge.dial(dialRequest("100"), told);
    await expect.poll(() => asked).toBe(2);
    await expect.poll(() => world.clock.pending, { message: "the probe is answered" }).toBe(timers);
    expect(told.lines).toEqual([]);
    await leg.hangUp(gaveUp);
    expect(told.lines).toEqual(["failed 487"]);
  });
});

describe("a PBX with a name", () => {
  test("hangs up although its name had no address at the start", async () => {
    const pbx = await scripted();
    let known = false;
    // The agent resolves the name by itself, and finds it.
    const lookUp = async (): Promise<string[]> => {
      if (!known) throw new Error("ENOTFOUND");
      return ["127.0.0.1"];
    };
    const world = await startEdge(cleanup, { host: "localhost", port: pbx.port }, {}, { peers: [], lookUp });
    known = true;
    const told = new Told();
    world.edge.dial(dialRequest("100"), told);
    const dialogId = await pbx.answer(await pbx.request("INVITE"));
    await told.until(/^answered/);
    expect((await pbx.ask("BYE", { dialogId })).status).toBe(200);
    expect(await told.end()).toBe("ended by pbx");
    expect(world.agent.counters().strangers_dropped).toBe(0);
  });
});

describe("a request out of the blue", () => {
  async function ask(method: string, change: { port?: number; host?: string; headers?: Record<string, string> } = {}) {
    const pbx = await scripted();
    const world = await startEdge(cleanup, {
      port: pbx.port,
      ...(change.host === undefined ? {} : { host: change.host }),
    });
    const uri = `sip:100@${world.sip.host}:${world.sip.port}`;
    const contact = { Contact: `<sip:pbx@127.0.0.1:${pbx.port}>` };
    const answer = await pbx.ask(method, { uri, headers: { ...contact, ...change.headers } });
    expect(world.edge.counters()).toMatchObject({ legs: 0, dialogs: 0 });
    return { answer, world };
  }

  test("OPTIONS says what we can", async () => {
    const { answer } = await ask("OPTIONS");
    expect([answer.status, answer.header("Allow")]).toEqual([200, "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE"]);
  });

  test("INVITE is refused with a reason, and logged", async () => {
    const { answer, world } = await ask("INVITE");
    expect([answer.status, answer.reason]).toEqual([403, "Calls to WhatsApp are not enabled"]);
    expect(answer.header("Reason")).toContain("Q.850;cause=21");
    expect(world.log.lines.map((line) => line.message)).toContain(
      "call of the pbx refused: calls to WhatsApp are not enabled",
    );
  });

  test.each(["MESSAGE", "REGISTER", "SUBSCRIBE", "PUBLISH"])("%s is not allowed", async (method) => {
    const { answer } = await ask(method);
    expect([answer.status, answer.header("Allow") !== undefined]).toEqual([405, true]);
  });

  test("OPTIONS of a listed peer that is no trunk is answered", async () => {
    const pbx = await scripted();
    const isPeer = (address: string): boolean => address === "127.0.0.1";
    const world = await startEdge(cleanup, { host: "192.0.2.1" }, {}, { isPeer });
    const answer = await pbx.ask("OPTIONS", {
      uri: `sip:100@127.0.0.1:${world.sip.port}`,
      headers: { Contact: `<sip:pbx@127.0.0.1:${pbx.port}>` },
    });
    expect(answer.status).toBe(200);
  });

  test("from an address that is no trunk is forbidden", async () => {
    const { answer } = await ask("OPTIONS", { host: "192.0.2.1" });
    expect(answer.status).toBe(403);
  });
});

/** What a PBX that is written down by hand says to a request. */
function responseTo(request: string, status: string): string {
  const copied = request.split("\r\n").filter((line) => /^(via|from|to|call-id|cseq):/i.test(line));
  return [`SIP/2.0 ${status}`, ...copied, "Content-Length: 0", "", ""].join("\r\n");
}
