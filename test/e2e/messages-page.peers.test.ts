import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pagesFolder } from "#src/pages/build.ts";
import { BrowserPage } from "#test/support/browser.ts";
import { BUSINESS, MessageWorld } from "#test/support/messages.ts";
import { absent } from "#test/support/peers.ts";

const missing = absent("chromium");

test.runIf(missing)("Chromium is there (PONTE_CHROMIUM)", ({ skip }) => skip("without chromium"));

describe.skipIf(missing)("a daemon's own pages in Chromium", () => {
  let it: MessageWorld;
  let browser: BrowserPage;

  beforeAll(async () => {
    // In a process of its own: the builder leaves threads behind.
    const build = fileURLToPath(new URL("../../src/pages/build.ts", import.meta.url));
    await promisify(execFile)(process.execPath, [build]);
    it = await MessageWorld.start({ pagesFolder });
    browser = await BrowserPage.open(it.url);
  });

  afterAll(async () => {
    await browser?.close();
    await it?.stop();
  });

  const go = (name: string) =>
    browser.page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name }).click();
  const press = (name: string) => browser.page.getByRole("button", { name, exact: true }).click();
  const sees = (text: string | RegExp) => browser.page.getByText(text).first().waitFor();

  test("a number is connected from nothing, somebody writes, is answered, and has read it", async () => {
    const { page } = browser;
    await page.getByLabel("API key").fill(it.apiKey);
    await press("Sign in");

    await go("Channels");
    await press("Connect a number");
    await page.getByLabel("Name, for people").fill("Front desk");
    const answer = page.waitForResponse((response) => response.url().endsWith("/qr") && response.ok());
    await press("Create and show the code");
    const code = (await (await answer).json()) as { readonly image: string; readonly text: string };
    const picture = page.getByAltText("QR code to scan with the phone");
    await expect.poll(() => picture.getAttribute("src")).toBe(code.image);
    expect(it.gateway.scan(code.text, BUSINESS)).toBe(true);
    await sees("Front desk is connected");
    await sees("Messages arrive from now on.");
    await sees(`+${BUSINESS}`);

    await go("Inbox");
    await sees("Nothing here. Messages show up by themselves.");
    const ana = it.gateway.phone("5511987654321", { name: "Ana Souza" });
    expect(await ana.say("Bom dia! Vocês abrem hoje?").taken).toBe(true);
    await page.getByRole("link", { name: /Ana Souza.*1 unread/s }).click();
    await page.locator(".messages").getByText("Bom dia! Vocês abrem hoje?").waitFor();
    await page.getByRole("link", { name: /Ana Souza(?!.*unread)/s }).waitFor();

    ana.goOffline();
    await page.getByLabel("Reply").fill("Sim, até as 18 h. <b>&amp;</b>");
    await page.keyboard.press("Enter");
    const bubble = page.locator(".bubble.out").last();
    await bubble.getByText("Sim, até as 18 h. <b>&amp;</b>").waitFor();
    const state = () => expect.poll(() => bubble.getAttribute("data-state"));
    await state().toBe("sent");
    ana.goOnline();
    await state().toBe("delivered");
    expect(ana.texts()).toEqual(["Sim, até as 18 h. <b>&amp;</b>"]);
    ana.read();
    await state().toBe("read");

    await ana.say("Obrigada!").taken;
    await page.locator(".messages").getByText("Obrigada!").waitFor();
    const conversation = await it.conversation("Obrigada!");
    await expect.poll(async () => (await it.ask("GET", `/v1/conversations/${conversation["id"]}`))["unread"]).toBe(0);
  });

  test("an overdue invoice shows as an event, with its rule and the message that came of it", async () => {
    const dora = it.gateway.phone("5511987654322", { name: "Dora" });
    const { body } = await it.tell({
      event_type: "billing.invoice.overdue",
      source_system: "billing",
      external_id: "F-7",
      payload: { customer: { name: "Dora", phone: dora.number }, invoice: { id: "F-7", due_date: "10/11/2026" } },
    });
    await it.settled(body["event_id"]);
    await go("Events");
    await browser.page.getByRole("link", { name: /billing\.invoice\.overdue/ }).click();
    await sees("Overdue invoices are told to the customer");
    await sees(/"due_date": "10\/11\/2026"/);
    await sees(/Olá, Dora! A fatura F-7 venceu em 10\/11\/2026/);
    expect(dora.texts()).toHaveLength(1);
  });

  test("none of it broke a page, or asked anybody else", () => {
    expect(browser.problems).toEqual([]);
    expect(browser.strayed).toEqual([]);
  });
});
