import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { PhoneServer } from "#sandbox/phone/phone-server.ts";
import type { PhoneNotice } from "#sandbox/phone/protocol.ts";
import { number, openSandbox, type Sandbox } from "./business.ts";

const demo = { id: number.phoneNumberId, display: "15551440000", name: "Echo", explanation: "…", extension: "600" };

let sandbox: Sandbox;
let server: PhoneServer;
let url: string;

beforeEach(async () => {
  sandbox = await openSandbox();
  server = new PhoneServer({ meta: sandbox.meta, numbers: [demo] });
  ({ url } = await server.start());
});

afterEach(async () => {
  await server.stop();
  await sandbox.stop();
});

/** A phone that writes down what it is told. */
class Phone {
  readonly told: PhoneNotice[] = [];
  readonly socket: WebSocket;

  constructor(origin?: string) {
    this.socket = new WebSocket(`${url.replace("http", "ws")}phone`, origin === undefined ? {} : { origin });
    this.socket.on("message", (data) => this.told.push(JSON.parse(String(data))));
    this.socket.on("error", () => undefined);
  }

  async sees(check: (notice: PhoneNotice) => boolean): Promise<void> {
    await expect.poll(() => this.told.some(check), { interval: 5, timeout: 2_000 }).toBe(true);
  }

  send(request: unknown): void {
    this.socket.send(typeof request === "string" ? request : JSON.stringify(request));
  }
}

const closed = (socket: WebSocket): Promise<void> => new Promise((resolve) => socket.once("close", () => resolve()));

describe("the page", () => {
  test.each([
    ["", "text/html", /<title>ponte/],
    ["style.css", "text/css", /:root/],
    ["phone.ts", "text/javascript", /line\.open\(\)/],
    ["icon.svg", "image/svg+xml", /<svg/],
  ])("serves /%s", async (path, type, text) => {
    const response = await fetch(url + path, { headers: { connection: "close" } });
    expect(response.headers.get("content-type")).toContain(type);
    expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(await response.text()).toMatch(text);
  });

  test("its TypeScript has lost its types", async () => {
    const text = await (await fetch(`${url}web-call.ts`, { headers: { connection: "close" } })).text();
    expect(text).not.toMatch(/import type|: Promise</);
  });

  test.each(["tsconfig.json", "../phone/protocol.ts", "%2e%2e/numbers.ts", "nothing"])("has no /%s", async (path) => {
    expect((await fetch(url + path, { headers: { connection: "close" } })).status).toBe(404);
  });
});

test("a target that is no path is not found, with or without an upgrade", async () => {
  for (const upgrade of ["", "Upgrade: websocket\r\nConnection: Upgrade\r\n"]) {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    let answer = "";
    socket.on("data", (data) => {
      answer += String(data);
    });
    socket.write(`GET //[ HTTP/1.1\r\nHost: phone\r\n${upgrade}\r\n`);
    await expect.poll(() => answer.startsWith("HTTP/1.1 404") || socket.readableEnded).toBe(true);
    socket.destroy();
  }
  expect((await fetch(url, { headers: { connection: "close" } })).status).toBe(200);
});

test("a call after the relay has gone is refused, and ends nothing else", async () => {
  const phone = new Phone();
  await phone.sees((notice) => notice.type === "welcome");
  await sandbox.meta.stop();
  phone.send({ type: "call", number: demo.id });
  await phone.sees((notice) => notice.type === "error" && /not started/.test(notice.text));
  expect(sandbox.meta.liveCalls()).toBe(0);
});

describe("a phone at its WebSocket", () => {
  test("is welcomed with its numbers, calls, and is told why the call ended", async () => {
    const phone = new Phone();
    await phone.sees((notice) => notice.type === "welcome" && notice.numbers[0]?.extension === "600");
    sandbox.business.onConnect = ({ id }) => void sandbox.business.act("reject", id);
    phone.send({ type: "call", number: demo.id });
    await phone.sees((notice) => notice.type === "offer" && notice.sdp.includes("a=ice-lite"));
    await phone.sees((notice) => notice.type === "state" && notice.state === "ended" && notice.reason === "rejected");
    await phone.sees((notice) => notice.type === "timeline" && notice.line.text === "call placed");
    await phone.sees((notice) => notice.type === "timeline" && notice.line.text === "reject → 200");
    await phone.sees((notice) => notice.type === "timeline" && notice.line.text === "webhook terminate → 200");
  });

  test.each([
    ["no JSON", "{", /understood/],
    ["an unknown request", { type: "transfer" }, /understood/],
    ["a list", [], /understood/],
    ["a number that is not on the page", { type: "call", number: "1" }, /No such number/],
  ])("that sends %s is told so, and stays connected", async (_name, request, text) => {
    const phone = new Phone();
    await phone.sees((notice) => notice.type === "welcome");
    phone.send(request);
    await phone.sees((notice) => notice.type === "error" && text.test(notice.text));
    expect(phone.socket.readyState).toBe(WebSocket.OPEN);
  });

  test("has one call at a time, and no use for a broken answer", async () => {
    const phone = new Phone();
    await phone.sees((notice) => notice.type === "welcome");
    phone.send({ type: "call", number: demo.id });
    phone.send({ type: "call", number: demo.id });
    await phone.sees((notice) => notice.type === "error" && /already/.test(notice.text));
    phone.send({ type: "answer", sdp: "v=0\r\n" });
    await phone.sees((notice) => notice.type === "error" && /cannot be used/.test(notice.text));
    phone.send({ type: "hang_up" });
    await phone.sees((notice) => notice.type === "state" && notice.reason === "cancelled");
    expect(sandbox.meta.liveCalls()).toBe(0);
  });

  test("that goes away hangs up", async () => {
    const phone = new Phone();
    await phone.sees((notice) => notice.type === "welcome");
    phone.send({ type: "call", number: demo.id });
    await expect.poll(() => sandbox.meta.liveCalls()).toBe(1);
    phone.socket.terminate();
    await expect.poll(() => sandbox.meta.liveCalls()).toBe(0);
    expect(sandbox.meta.log.calls().at(-1)?.text).toBe("cancelled by user");
  });

  test("of another site is not let in, nor one that talks too much", async () => {
    const stranger = new Phone("http://evil.example");
    await closed(stranger.socket);
    expect(stranger.told).toEqual([]);
    const local = new Phone(url.slice(0, -1));
    await local.sees((notice) => notice.type === "welcome");
    local.send("x".repeat(70_000));
    await closed(local.socket);
  });
});

test("a port that is taken is told, and nothing stays open", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const { port } = taken.address() as AddressInfo;
  const second = new PhoneServer({ meta: sandbox.meta, numbers: [demo], port });
  await expect(second.start()).rejects.toThrow(/EADDRINUSE/);
  await second.stop();
  await new Promise((resolve) => taken.close(resolve));
});
