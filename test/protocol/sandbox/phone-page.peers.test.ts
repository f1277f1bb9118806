import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PhoneServer } from "#sandbox/phone/phone-server.ts";
import type { WatchedEvent } from "#sandbox/phone/timeline.ts";
import { SimulatedGateway } from "#sandbox/wpp/gateway.ts";
import { PhonePage } from "#test/support/chromium.ts";
import { GATEWAY_SECRET, HOOK_SECRET, Hook } from "#test/support/gateway.ts";
import { absent } from "#test/support/peers.ts";
import { answerAll, number, openSandbox, type Sandbox } from "./business.ts";

const demo = {
  id: number.phoneNumberId,
  display: number.displayPhoneNumber,
  name: "Echo",
  explanation: "You hear yourself.",
  extension: "600",
};

let sandbox: Sandbox;
let gateway: SimulatedGateway;
let gatewayUrl: string;
let hook: Hook;
let server: PhoneServer;
let phone: PhonePage | undefined;
let url: string;
let tell: (event: WatchedEvent) => void = () => undefined;

async function open(hz?: number): Promise<PhonePage> {
  phone = await PhonePage.open(url, hz);
  return phone;
}

/** Waits until the page's meter hears this frequency. */
async function hears({ page }: Pick<PhonePage, "page">, hz: number): Promise<void> {
  const meter = async (name: string): Promise<number> => Number(await page.locator("#heard-text").getAttribute(name));
  const poll = { timeout: 8_000, interval: 100 };
  await expect.poll(async () => Math.abs((await meter("data-hz")) - hz), poll).toBeLessThan(4);
  await expect.poll(() => meter("data-db"), poll).toBeGreaterThan(-30);
}

/** What ponte does at the gateway. */
async function ask(path: string, body?: object): Promise<void> {
  const headers = { "x-gateway-secret": GATEWAY_SECRET, "content-type": "application/json", connection: "close" };
  const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  expect((await fetch(gatewayUrl + path, { ...init, headers })).ok).toBe(true);
}

describe.skipIf(absent("chromium"))("the phone page in Chromium (skipped without PONTE_CHROMIUM)", () => {
  beforeEach(async () => {
    sandbox = await openSandbox();
    answerAll(sandbox.business);
    hook = new Hook();
    await hook.start();
    gateway = new SimulatedGateway({ secret: GATEWAY_SECRET, webhookTimings: { retryDelaysMs: [] } });
    ({ url: gatewayUrl } = await gateway.start());
    server = new PhoneServer({
      meta: sandbox.meta,
      gateway,
      numbers: [demo],
      watch: (listener) => {
        tell = listener;
        return () => {
          tell = () => undefined;
        };
      },
    });
    ({ url } = await server.start());
  });

  afterEach(async () => {
    await phone?.close();
    phone = undefined;
    await server.stop();
    await gateway.stop();
    await hook.stop();
    await sandbox.stop();
  });

  test("a call from the microphone is heard, shows its timeline, takes keys and ends", async () => {
    const { page, problems } = await open(440);
    await page.click('[data-extension="600"]');
    await page.waitForSelector('#state[data-state="talking"]');
    await hears({ page }, 440);
    const wacid = sandbox.meta.log.calls().at(-1)?.wacid ?? "";
    tell({ callId: "c1", wacid, at: Date.now(), type: "call.accepted", data: { ring_ms: 12 } });
    await page.click("#keys");
    for (const key of "12#") await page.click(`#keypad [data-key="${key}"]`);
    await expect.poll(() => page.locator("#digits").textContent(), { timeout: 5_000 }).toMatch(/←1.*←2.*←#/);
    await page.click("#hang-up");
    await page.waitForSelector('#state[data-reason="hung_up"]');
    const timeline = await page.locator("#timeline").textContent();
    expect(timeline).toMatch(/call placed[\s\S]*webhook connect → 200[\s\S]*pre_accept → 200[\s\S]*accept → 200/);
    expect(timeline).toMatch(/call\.acceptedring_ms 12/);
    expect(problems).toEqual([]);
    expect(sandbox.meta.log.violations()).toEqual([]);
  });

  test("without a microphone it sends its tone, and says when the business declines", async () => {
    const { page, problems } = await open();
    await page.fill("#hz", "700");
    await page.click('[data-extension="600"]');
    await hears({ page }, 700);
    expect(await page.locator("#notice").textContent()).toMatch(/no microphone/);
    await page.click("#hang-up");
    await page.waitForSelector('#state[data-reason="hung_up"]');
    sandbox.business.onConnect = ({ id }) => void sandbox.business.act("reject", id);
    await page.click("#again");
    await page.waitForSelector('#state[data-reason="rejected"]');
    expect(await page.locator("#state").textContent()).toBe("Declined");
    expect(problems).toEqual([]);
  });

  test("a channel is linked by its code, and the chat with it has ticks, unread counts and quotes", async () => {
    const { page, problems } = await open();
    await page.click("#chats-tab");
    await page.getByText("No channel yet").waitFor();
    const webhook = { url: hook.url, secret: HOOK_SECRET };
    await ask("/api/channels", { channel: "clinic", name: "Clínica Aurora", webhook });
    await ask("/api/channels/clinic/qr");
    await page.click('[data-device="clinic"] >> text=Scan the code');
    await page.waitForSelector('[data-device="clinic"][data-state="connected"]');
    const to = /\d+/.exec((await page.textContent("#me")) ?? "")?.[0] ?? "";
    await ask("/api/messages", { channel: "clinic", to, text: "Sua fatura de R$ 120,00 venceu ontem." });
    await page.waitForSelector('#chats-tab .badge >> text="1"');
    await page.click('[data-chat="clinic"]');
    await page.waitForSelector('.bubble.business[data-state="read"]');
    await expect.poll(() => hook.requests.some(({ body }) => body.includes('"ack":3'))).toBe(true);
    await page.fill("#words", "Posso pagar <b>hoje</b>?");
    await page.press("#words", "Enter");
    const mine = page.locator('.bubble.user[data-state="read"]');
    await mine.getByRole("img", { name: "read" }).waitFor();
    const id = (await mine.getAttribute("data-message")) ?? "";
    expect(await mine.locator(".words").textContent()).toBe("Posso pagar <b>hoje</b>?");
    gateway.disconnect("clinic");
    await page.locator("#chat-state", { hasText: "disconnected" }).waitFor();
    await page.fill("#words", "Alô?");
    await page.click('[aria-label="Send"]');
    await page.waitForSelector('.bubble.user[data-state="sent"]');
    gateway.connect("clinic", gateway.channel("clinic")?.phone ?? "");
    await ask("/api/messages", { channel: "clinic", to, text: "Pode sim!", reply_to: id });
    expect(await page.locator(".bubble blockquote").textContent()).toBe("Posso pagar <b>hoje</b>?");
    await expect.poll(() => page.locator('.bubble.user[data-state="read"]').count()).toBe(2);
    await page.click("#leave");
    expect(await page.locator('[data-chat="clinic"] .words').textContent()).toBe("Pode sim!");
    expect(await page.locator("#unread").isHidden()).toBe(true);
    await page.reload();
    await page.click("#chats-tab");
    await page.click('[data-chat="clinic"]');
    await expect.poll(() => page.locator(".bubble").count()).toBe(4);
    expect(problems).toEqual([]);
  });
});
