import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SipAgent } from "#sip-agent/agent.ts";
import { Bench, type Msg, type Reply, SDP, SECRET, type Srf, type SrfDialog } from "./support/bench.ts";

let bench: Bench;
beforeEach(async () => {
  bench = await Bench.start();
});
afterEach(() => bench.stop());

/** A control client that writes frames by hand. */
class RawClient {
  readonly frames: string[] = [];
  readonly socket: Socket;
  closed = false;
  #buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      for (;;) {
        const hash = this.#buffer.indexOf("#");
        const length = Number(this.#buffer.toString("latin1", 0, Math.max(hash, 0)));
        if (hash === -1 || this.#buffer.length < hash + 1 + length) return;
        this.frames.push(this.#buffer.toString("utf8", hash + 1, hash + 1 + length));
        this.#buffer = this.#buffer.subarray(hash + 1 + length);
      }
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      this.closed = true;
    });
  }

  static async open(): Promise<RawClient> {
    const socket = connect(bench.control, "127.0.0.1");
    await once(socket, "connect");
    return new RawClient(socket);
  }

  send(payload: string): void {
    this.socket.write(frame(payload));
  }

  async answer(id: string): Promise<string[]> {
    const mine = (text: string): boolean => text.split("|")[2] === id;
    await bench.settle(() => this.frames.some(mine));
    return (this.frames.find(mine) ?? "").split("|").slice(3);
  }
}

function frame(payload: string): string {
  return `${Buffer.byteLength(payload)}#${payload}`;
}

test("a taken port stops the start and leaves nothing bound", async () => {
  const other = new SipAgent({
    control: { secret: SECRET },
    udp: [{ port: 0 }],
    tcp: [{ port: bench.tcp }],
    peers: [],
  });
  await expect(other.start()).rejects.toMatchObject({ code: "EADDRINUSE" });
  expect(() => new SipAgent({ control: { secret: "" }, peers: [] })).toThrow("secret");
  expect(() => new SipAgent({ control: { secret: SECRET }, peers: [] })).toThrow("no SIP listener");
  expect(() => new SipAgent({ control: { secret: SECRET }, peers: ["pbx.example"] })).toThrow("pbx.example");
});

describe("frames", () => {
  const stream = [frame(`1|authenticate|${SECRET}|`), frame("2|route|invite"), frame("3|ping")].join("");

  test("byte by byte or all at once, the answers are the same", async () => {
    const [dripping, whole] = [await RawClient.open(), await RawClient.open()];
    for (const byte of stream) dripping.socket.write(byte);
    whole.socket.write(stream);
    for (const client of [dripping, whole]) {
      const [status, shown, version, local] = await client.answer("1");
      expect(status).toBe("OK");
      expect(shown).toBe(`udp/127.0.0.1:${bench.udp},tcp/127.0.0.1:${bench.tcp}`);
      expect(version).toMatch(/^v0\.9\.\d+$/);
      expect(local).toBe(shown);
      expect(await client.answer("2")).toEqual(["OK"]);
      expect(await client.answer("3")).toEqual(["OK", "pong"]);
      client.socket.destroy();
    }
  });

  test.each([
    ["no length", "hello#x"],
    ["a negative length", "-5#hello"],
    ["an empty frame", "0#"],
    ["a frame beyond the limit", "200000#x"],
    ["digits without end", "1".repeat(20)],
    ["an unknown kind", frame("2|dance")],
  ])("%s closes the connection", async (_, bytes) => {
    const client = await RawClient.open();
    client.send(`1|authenticate|${SECRET}|`);
    await client.answer("1");
    client.socket.write(bytes);
    await bench.settle(() => client.closed);
    expect(bench.agent.counters().clients_refused).toBe(1);
  });

  test("a frame of 60 kB and one with multi-byte text are taken", async () => {
    const peer = await bench.udpPeer();
    const client = await RawClient.open();
    client.send(`1|authenticate|${SECRET}|`);
    const body = "é".repeat(15_000);
    client.send(
      `2|sip||\r\nMESSAGE sip:a@${peer.host} SIP/2.0\r\ncontent-type: text/plain\r\nsubject: Grüße\r\n\r\n${body}`,
    );
    expect((await client.answer("2"))[0]).toBe("OK");
    const message = await peer.next("MESSAGE");
    expect(message.body).toBe(body);
    expect(message.get("Subject")).toBe("Grüße");
    client.socket.destroy();
  });
});

describe("authenticate", () => {
  test("a wrong secret gets NO, and the connection closes", async () => {
    const client = await RawClient.open();
    client.send("1|authenticate|wrong|");
    expect(await client.answer("1")).toEqual(["NO", "incorrect secret"]);
    await bench.settle(() => client.closed);
  });

  test.each(["route|invite", "ping", "sip||\r\nOPTIONS sip:127.0.0.1:9 SIP/2.0\r\n\r\n"])(
    "before it, %j is refused",
    async (command) => {
      const client = await RawClient.open();
      client.send(`1|${command}`);
      expect((await client.answer("1"))[0]).toBe("NO");
      await bench.settle(() => client.closed);
      expect(bench.agent.counters().requests_sent).toBe(0);
    },
  );

  test("who is silent for five seconds is cut off", async () => {
    const client = await RawClient.open();
    await bench.settle(() => bench.agent.counters().clients === 1);
    bench.clock.advance(5_000);
    await bench.settle(() => client.closed);
  });

  test("too many connections are refused", async () => {
    await bench.stop();
    bench = await Bench.start({ limits: { maxClients: 1 } });
    const first = await RawClient.open();
    await bench.settle(() => bench.agent.counters().clients === 1);
    const second = await RawClient.open();
    await bench.settle(() => second.closed);
    expect(first.closed).toBe(false);
    first.socket.destroy();
  });
});

describe("refused commands", () => {
  let client: RawClient;
  beforeEach(async () => {
    client = await RawClient.open();
    client.send(`1|authenticate|${SECRET}|`);
    await client.answer("1");
  });
  afterEach(() => client.socket.destroy());

  test.each([
    ["proxy|T1|||||2s|18s|sip:bob@10.0.0.9\r\nINVITE sip:bob@10.0.0.9 SIP/2.0\r\n\r\n", "not supported"],
    ["sip||nowhere;from-tag=1\r\nBYE sip:placeholder SIP/2.0\r\n\r\n", "unable to find dialog"],
    ["sip||\r\nSIP/2.0 200 OK\r\n\r\n", "without transaction id"],
    ["sip|T1|\r\nSIP/2.0 200 OK\r\n\r\n", "unknown or already answered"],
    ["sip|T1|\r\nCANCEL sip:a@b SIP/2.0\r\n\r\n", "unable to cancel unknown transaction id"],
    ["sip||\r\nACK sip:a@b SIP/2.0\r\n\r\n", "ACK without dialog id"],
    ["sip||\r\ninvite me\r\n\r\n", "invalid start line"],
    ["sip||", "invalid start line"],
    ["sip||\r\nOPTIONS sip:127.0.0.1:9 SIP/2.0\r\nX-A: 1\nX-B: 2\r\n\r\n", "line break or NUL"],
    ["sip||\r\nOPTIONS sip:127.0.0.1:9 SIP/2.0\r\nX-A: 1\0\r\n\r\n", "line break or NUL"],
    [`sip||\r\nOPTIONS sip:127.0.0.1:9 SIP/2.0\r\n${"X-A: 1\r\n".repeat(300)}\r\n`, "too many headers"],
  ])("%j → NOK", async (command, reason) => {
    client.send(`2|${command}`);
    const [status, why] = await client.answer("2");
    expect([status, why]).toEqual(["NOK", expect.stringContaining(reason)]);
    client.send("3|ping");
    expect(await client.answer("3")).toEqual(["OK", "pong"]);
  });

  test("header lines with a name that is none are dropped, the others go out", async () => {
    const peer = await bench.udpPeer();
    client.send(
      `2|sip||\r\nOPTIONS sip:${peer.host} SIP/2.0\r\nX Bad: 1\r\nnonsense\r\nVia: forged\r\nX-Good: 1\r\n\r\n`,
    );
    const options = await peer.next("OPTIONS");
    expect(options.get("X-Good")).toBe("1");
    expect(options.text).not.toMatch(/X Bad|nonsense|forged/);
  });
});

test("new requests go round the applications that routed the method, and stop after remove_route", async () => {
  const got: string[] = [];
  const answer = (name: string) => (app: Srf) =>
    app.use("options", (_, res) => {
      got.push(name);
      res.send(200);
    });
  const first = await bench.app(answer("a"));
  await bench.app(answer("b"));
  const peer = await bench.udpPeer();
  for (let i = 0; i < 4; i++) {
    peer.request("OPTIONS", `sip:127.0.0.1:${bench.udp}`);
    await peer.next(200);
  }
  expect(got.toSorted()).toEqual(["a", "a", "b", "b"]);
  (first as unknown as { _app: { client: { removeRoute(verb: string): void } } })._app.client.removeRoute("options");
  // A request of the same application, behind it on the same connection, is through.
  first.request(`sip:${peer.host}`, { method: "MESSAGE" }, () => undefined);
  peer.reply(await peer.next("MESSAGE"), 200);
  for (let i = 0; i < 2; i++) {
    peer.request("OPTIONS", `sip:127.0.0.1:${bench.udp}`);
    await peer.next(200);
  }
  expect(got.slice(4)).toEqual(["b", "b"]);
});

describe("a lost application", () => {
  async function call(): Promise<{ srf: Srf; dialog: SrfDialog }> {
    const peer = await bench.udpPeer();
    const srf = await bench.app();
    const placed = srf.createUAC(`sip:600@${peer.host}`, { localSdp: SDP });
    peer.reply(await peer.next("INVITE"), 200, { body: SDP });
    const dialog = await placed;
    await peer.next("ACK");
    current = peer;
    return { srf, dialog };
  }
  let current: Awaited<ReturnType<Bench["udpPeer"]>>;

  test("its calls end with BYE after the grace time", async () => {
    const { srf } = await call();
    bench.disconnect(srf);
    await bench.settle(() => bench.agent.counters().clients === 0);
    expect(current.count("BYE")).toBe(0);
    bench.clock.advance(5_000);
    current.reply(await current.next("BYE"), 200);
    expect(bench.agent.counters()).toMatchObject({ dialogs: 0, dialogs_orphaned: 1 });
  });

  test("BYE of the peer in the meantime gets 200, other requests 480", async () => {
    const { srf, dialog } = await call();
    bench.disconnect(srf);
    await bench.settle(() => bench.agent.counters().clients === 0);
    const invite = current.log[0];
    if (invite === undefined) throw new Error("no INVITE");
    const ids = { callId: dialog.sip.callId, from: `${invite.get("To")};tag=peer-tag`, to: invite.get("From") };
    current.request("INFO", invite.contact(), { ...ids, cseq: 1 });
    await current.next(480);
    current.request("BYE", invite.contact(), { ...ids, cseq: 2 });
    await current.next(200);
    bench.clock.advance(5_000);
    expect(bench.agent.counters()).toMatchObject({ dialogs: 0, dialogs_orphaned: 0 });
  });

  test("a new connection that uses the dialog keeps it and gets what the peer sends", async () => {
    const { srf, dialog } = await call();
    bench.disconnect(srf);
    await bench.settle(() => bench.agent.counters().clients === 0);
    const client = await RawClient.open();
    client.send(`1|authenticate|${SECRET}|`);
    client.send(`2|sip||${dialog.id}\r\nINFO sip:placeholder SIP/2.0\r\n\r\n`);
    expect((await client.answer("2"))[0]).toBe("OK");
    const info = await current.next("INFO");
    current.reply(info, 200);
    bench.clock.advance(5_000);
    expect(bench.agent.counters().dialogs).toBe(1);
    const ids = { callId: dialog.sip.callId, from: info.get("To"), to: info.get("From") };
    current.request("OPTIONS", `sip:127.0.0.1:${bench.udp}`, { ...ids, cseq: 1 });
    await bench.settle(() => client.frames.some((text) => text.includes(`|${dialog.id}|`) && text.includes("OPTIONS")));
    client.socket.destroy();
  });

  test("a received INVITE that it did not answer gets 480", async () => {
    const arrived: Msg[] = [];
    const srf = await bench.app((app) => app.invite((req) => void arrived.push(req)));
    const peer = await bench.udpPeer();
    peer.request("INVITE", `sip:600@127.0.0.1:${bench.udp}`, { body: SDP });
    await bench.settle(() => arrived.length === 1);
    bench.disconnect(srf);
    await peer.next(480);
  });

  test("a placed INVITE is cancelled; a 200 that crosses gets ACK and BYE", async () => {
    const peer = await bench.udpPeer();
    const srf = await bench.app();
    srf.createUAC(`sip:600@${peer.host}`, { localSdp: SDP }).catch(() => undefined);
    const invite = await peer.next("INVITE");
    peer.reply(invite, 180);
    await bench.settle(() => bench.agent.counters().dialogs === 1);
    bench.disconnect(srf);
    peer.reply(await peer.next("CANCEL"), 200);
    peer.reply(invite, 200, { body: SDP });
    await peer.next("ACK");
    peer.reply(await peer.next("BYE"), 200);
    expect(bench.agent.counters()).toMatchObject({ dialogs: 0, pending: 0 });
  });

  test("drachtio-srf comes back by itself, with its routes", async () => {
    const seen: number[] = [];
    const srf = await bench.app((app) =>
      app.use("options", (_: Msg, res: Reply) => {
        seen.push(1);
        res.send(200);
      }),
    );
    for (const socket of srf._app.client.mapServer.keys()) socket.destroy();
    await bench.settle(() => bench.agent.counters().clients_lost === 1);
    await bench.settle(() => bench.agent.counters().clients_authenticated === 2);
    await bench.routed(srf);
    const peer = await bench.udpPeer();
    peer.request("OPTIONS", `sip:127.0.0.1:${bench.udp}`);
    await peer.next(200);
    expect(seen).toHaveLength(1);
  });
});
