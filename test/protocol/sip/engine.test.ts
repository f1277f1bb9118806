import { createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { SipEdge, type SipLimits } from "#sip/edge.ts";
import { SipAgent } from "#sip-agent/agent.ts";
import { freePort } from "#test/support/free-port.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import {
  Cleanup,
  countedClock,
  dialRequest,
  gaveUp,
  ScriptedPbx,
  SECRET,
  startEdge,
  Told,
  trunkAt,
} from "./support.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** Whoever is there answers in time, also on a busy machine. */
const quick: Partial<SipLimits> = {
  connectTimeoutMs: 5_000,
  retryFirstMs: 10,
  retryMaxMs: 30,
  pingIntervalMs: 30,
  pongTimeoutMs: 5_000,
};

function edgeTo(port: number, secret = SECRET, limits = quick) {
  const clock = countedClock();
  const log = quietLog();
  const engine = { host: "127.0.0.1", port, secret };
  const edge = cleanup.add(new SipEdge({ engine, trunks: [trunkAt({})], clock, log, limits }), (each) => each.stop());
  return { edge, clock, log };
}

function embedded(port: number): SipAgent {
  return cleanup.add(
    new SipAgent({ control: { secret: SECRET, port }, udp: [{ host: "127.0.0.1", port: 0 }], peers: ["127.0.0.1"] }),
    (agent) => agent.stop(),
  );
}

/** A server of the control protocol, made by hand: `answer` gets each frame's head, split. */
async function handmade(answer: (head: readonly string[], socket: Socket) => string | undefined) {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      for (const frame of chunk.toString().split(/(?:^|(?<=[^\d]))\d+#(?=[0-9a-f-]{36}\|)/)) {
        if (frame === "") continue;
        const reply = answer((frame.split("\r\n")[0] ?? "").split("|"), socket);
        if (reply !== undefined) socket.write(`${Buffer.byteLength(reply)}#${reply}`);
      }
    });
  });
  cleanup.add(server, (each) => {
    for (const socket of sockets) socket.destroy();
    each.close();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return { port, connections: () => sockets.size };
}

const welcome = (head: readonly string[]) =>
  head[1] === "authenticate" ? `s|response|${head[0]}|OK|udp/127.0.0.1:5060|v0.9.1` : `s|response|${head[0]}|OK`;

describe("the engine", () => {
  test("that is away is looked for until it comes; calls fail meanwhile", async () => {
    const port = await freePort();
    const { edge, log } = edgeTo(port);
    await edge.start();
    expect(edge.ready()).toBe(false);
    const told = new Told();
    const leg = edge.dial(dialRequest("100"), told);
    expect(await told.end()).toBe("failed 503");
    await leg.hangUp(gaveUp);
    expect(log.lines.filter((line) => line.message === "call cannot be placed")).toHaveLength(1);
    await embedded(port).start();
    await expect.poll(() => edge.ready()).toBe(true);
    expect(log.lines.filter((line) => line.message === "sip engine not reachable")).toHaveLength(1);
  });

  test("that refuses our secret is not ready", async () => {
    const agent = embedded(0);
    const { control } = await agent.start();
    const { edge, log } = edgeTo(control.port, "wrong");
    await edge.start();
    expect(edge.ready()).toBe(false);
    expect(log.lines[0]?.facts).toMatchObject({ reason: "the engine refused our secret" });
  });

  test("that goes and comes back ends the calls, and takes new ones", async () => {
    const pbx = cleanup.add(await new ScriptedPbx().start(), (each) => each.stop());
    const first = embedded(0);
    const { control } = await first.start();
    const clock = countedClock();
    const log = quietLog();
    const edge = cleanup.add(
      new SipEdge({
        engine: { ...control, secret: SECRET },
        trunks: [trunkAt({ port: pbx.port })],
        clock,
        log,
        limits: quick,
      }),
      (each) => each.stop(),
    );
    await edge.start();
    const [up, ringing] = [new Told(), new Told()];
    edge.dial(dialRequest("1"), up);
    await pbx.answer(await pbx.request("INVITE"));
    await up.until(/^answered/);
    edge.dial(dialRequest("2"), ringing);
    (await pbx.request("INVITE", 1)).respond(180);
    await ringing.until(/^progress/);
    await first.stop();
    expect(await up.end()).toBe("ended by agent");
    expect(await ringing.end()).toBe("failed 503");
    expect(edge.ready()).toBe(false);
    expect(edge.counters()).toMatchObject({ legs: 0, dialogs: 0 });
    const second = embedded(control.port);
    await second.start();
    await expect.poll(() => edge.ready()).toBe(true);
    const again = new Told();
    edge.dial(dialRequest("3"), again);
    (await pbx.request("INVITE", 2)).respond(486);
    expect(await again.end()).toBe("failed 486");
  });

  test("that stops answering pings is dead", async () => {
    let answering = true;
    let pings = 0;
    const { port } = await handmade((head) => {
      pings += head[1] === "ping" ? 1 : 0;
      return answering ? welcome(head) : undefined;
    });
    const { edge, log } = edgeTo(port, SECRET, { ...quick, pongTimeoutMs: 500, connectTimeoutMs: 500 });
    await edge.start();
    expect(edge.ready()).toBe(true);
    await expect.poll(() => pings).toBeGreaterThan(3);
    expect(edge.ready()).toBe(true);
    answering = false;
    await expect.poll(() => edge.ready()).toBe(false);
    expect(log.lines.map((line) => line.facts)).toContainEqual(
      expect.objectContaining({ reason: "no answer to a ping" }),
    );
    answering = true;
    await expect.poll(() => edge.ready()).toBe(true);
  });

  test("that accepts and never speaks is given up and tried again", async () => {
    let tries = 0;
    const { port, connections } = await handmade(() => {
      tries += 1;
      return undefined;
    });
    const { edge } = edgeTo(port, SECRET, { ...quick, connectTimeoutMs: 30 });
    await edge.start();
    expect(edge.ready()).toBe(false);
    await expect.poll(() => tries).toBeGreaterThan(2);
    expect(connections()).toBeLessThanOrEqual(2);
  });

  test.each([
    ["a length that is none", "abc#x"],
    ["a frame of an unknown kind", "9#s|gossip|x"],
    ["SIP that is none", "38#s|sip|network|1|udp|1.2.3.4|5|t|T1|D1|\r\n\u0001"],
    ["a response to nothing", "20#s|response|nothing|OK"],
    ["a response without its message", "12#s|response||"],
  ])("that sends %s does not end the process", async (_, bytes) => {
    const greeted: Socket[] = [];
    const { port } = await handmade((head, socket) => {
      if (head[1] === "route" && head[2] === "info") greeted.push(socket);
      return welcome(head);
    });
    const { edge } = edgeTo(port);
    await edge.start();
    await expect.poll(() => greeted).toHaveLength(1);
    const [first] = greeted;
    await new Promise((resolve) => first?.write(bytes, resolve));
    // Behind the bytes the connection ends, so that whatever they did is over when the edge has come back.
    first?.end();
    await expect.poll(() => greeted).toHaveLength(2);
    await expect.poll(() => edge.ready()).toBe(true);
  });
});

test("a stopped edge leaves nothing, also while it waits to try again", async () => {
  const { edge, clock } = edgeTo(await freePort());
  await edge.start();
  await edge.stop();
  await edge.stop();
  expect(clock.pending).toBe(0);
  const world = await startEdge(cleanup, {});
  await world.edge.stop();
  expect([world.edge.ready(), world.clock.pending]).toEqual([false, 0]);
});
