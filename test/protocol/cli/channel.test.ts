import type { Server } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { connect } from "#cli/channel.ts";
import { FakeClock } from "#test/support/fake-clock.ts";

let server: Server;
let url: string;
let clock: FakeClock;
let shown: string[];
let asked: string[];
/** What the API says; the QR route answers 409 when there is no code. */
let state: string;
let code: { readonly text?: string; readonly image: string } | undefined;
let refusal: { readonly status: number; readonly body: object } | undefined;

beforeEach(async () => {
  [shown, asked, state, code, refusal] = [[], [], "connecting", undefined, undefined];
  clock = new FakeClock();
  server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    asked.push(`${request.method} ${request.url} ${request.headers.authorization} ${body}`.trim());
    const answer = (status: number, document: object) => response.writeHead(status).end(JSON.stringify(document));
    if (refusal !== undefined) answer(refusal.status, refusal.body);
    else if (request.url?.endsWith("/qr") !== true)
      answer(200, {
        id: "ch-1",
        state,
        webhook_configured: true,
        ...(state === "connected" && { phone: "551155501000" }),
      });
    else if (code === undefined) answer(409, { error: { code: "qr_not_ready", message: "Not yet." } });
    else answer(200, code);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  expect(clock.pending).toBe(0);
});

const world = () => ({
  now: () => clock.now(),
  pause: (ms: number) => new Promise<void>((resolve) => clock.after(ms, resolve)),
  show: (text: string) => void shown.push(text),
});
const begin = () => connect({ url, key: "k", name: "Clinic", ...world() });

/** The next look: the command sleeps on the fake clock. */
async function nextLook(ms = 2_000): Promise<void> {
  await expect.poll(() => clock.pending).toBe(1);
  clock.advance(ms);
}

test("shows each code once, until the channel is connected", async () => {
  const connecting = begin();
  await nextLook();
  code = { text: "2@first,code,of,some,length", image: "data:" };
  await nextLook();
  await expect.poll(() => clock.pending).toBe(1);
  // It was looked at twice.
  expect(shown).toHaveLength(1);
  code = { text: "2@second,code,of,some,length", image: "data:" };
  clock.advance(2_000);
  await expect.poll(() => shown.length).toBe(2);
  await expect.poll(() => clock.pending).toBe(1);
  state = "connected";
  clock.advance(2_000);
  expect(await connecting).toBe(true);
  expect(shown).toHaveLength(3);
  expect(shown[0]).toMatch(/[▀▄█]{5}.*\n/);
  expect(shown[0]).not.toBe(shown[1]);
  expect(shown[2]).toBe("Connected as +551155501000.");
  expect(asked[0]).toBe('POST /v1/channels Bearer k {"name":"Clinic"}');
  expect(asked[1]).toBe("POST /v1/channels/ch-1/refresh Bearer k");
});

test("a gateway that gives a picture only sends people to the page", async () => {
  code = { image: "data:image/png;base64,x" };
  const connecting = begin();
  await expect.poll(() => clock.pending).toBe(1);
  state = "connected";
  clock.advance(2_000);
  expect(await connecting).toBe(true);
  expect(shown[0]).toContain(`open ${url}`);
});

test("gives up after some minutes", async () => {
  const connecting = begin();
  await nextLook(6 * 60_000);
  expect(await connecting).toBe(false);
});

test("a refusal is told in the API's words", async () => {
  refusal = {
    status: 409,
    body: { error: { code: "no_gateway", message: "No gateway.", hint: "Set WPP_GATEWAY_BASE_URL." } },
  };
  await expect(begin()).rejects.toMatchObject({ code: "no_gateway", message: "No gateway. Set WPP_GATEWAY_BASE_URL." });
});

test("without a daemon there is a sentence", async () => {
  const options = { url: "http://127.0.0.1:1", key: "k", ...world() };
  await expect(connect(options)).rejects.toMatchObject({ code: "unreachable" });
});
