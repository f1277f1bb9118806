import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "#engine/system-clock.ts";
import { pagesFolder } from "#src/pages/build.ts";
import { BrowserPage, DESK, PHONE } from "#test/support/browser.ts";
import { API_KEY, FakeHouse, type RunningHttp, startHttp } from "#test/support/http.ts";
import { eventId, FakeRouter, id } from "#test/support/http-router.ts";
import { tellStory } from "#test/support/http-router-story.ts";
import { absent } from "#test/support/peers.ts";

const missing = absent("chromium");

/** Runs in the page: what reaches beyond the right edge of the screen, but for what can be scrolled by itself. */
const tooWide = `[...document.querySelectorAll("body *")]
  .filter((one) => one.closest("pre, .rows") === null || one.matches("pre, .rows"))
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
  .map((one) => one.tagName + "." + one.className)`;

test.runIf(missing)("Chromium is there (PONTE_CHROMIUM)", ({ skip }) => skip("without chromium"));

describe.skipIf(missing).each([
  ["desk", DESK],
  ["phone", PHONE],
] as const)("the pages in Chromium, on a %s", (place, viewport) => {
  let router: FakeRouter;
  let http: RunningHttp;
  let browser: BrowserPage;

  beforeAll(async () => {
    // In a process of its own, as it is built for a daemon: the builder leaves threads behind.
    await promisify(execFile)(process.execPath, [
      fileURLToPath(new URL("../../../src/pages/build.ts", import.meta.url)),
    ]);
    browser = await BrowserPage.open("about:blank", viewport);
  });

  afterAll(() => browser?.close());

  let signedOut = false;

  beforeEach(async () => {
    signedOut = false;
    router = new FakeRouter(systemClock);
    tellStory(router);
    http = await startHttp(new FakeHouse(), {
      clock: systemClock,
      router: router.parts(),
      pages: { folder: pagesFolder },
    });
    await browser.page.context().clearCookies();
    await browser.page.goto(http.url);
    await browser.page.getByLabel("API key").fill(API_KEY);
    await browser.page.getByRole("button", { name: "Sign in" }).click();
    await browser.page.getByRole("navigation", { name: "Pages" }).waitFor();
  });

  afterEach(async () => {
    await browser.page.goto("about:blank");
    await http.server.stop();
    // A request that was under way when somebody signed out is refused, and the browser says so; nowhere else may one be.
    const refused = (problem: string): boolean => signedOut && problem.includes("status of 401");
    expect(browser.problems.filter((problem) => !refused(problem))).toEqual([]);
    expect(browser.strayed.filter((url) => !url.startsWith("http://127.0.0.1:"))).toEqual([]);
  });

  const go = (name: string) =>
    browser.page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name }).click();
  const sees = (text: string | RegExp) => browser.page.getByText(text).first().waitFor();
  const press = (name: string) => browser.page.getByRole("button", { name, exact: true }).click();

  /** What a small screen does not change is tried on the large one. */
  const onDesk = test.runIf(place === "desk");

  test("nothing is wider than the screen", async () => {
    const places = [
      "inbox",
      `inbox/${id(11)}`,
      `channels/${id(2)}`,
      "events",
      `events/${eventId(51)}`,
      `rules/${id(41)}`,
    ];
    for (const one of [...places, "rules", "deliveries"]) {
      await browser.page.goto(`${http.url}/#/${one}`);
      await browser.page.locator("h1:visible, h2:visible").first().waitFor();
      await browser.page.waitForFunction("document.querySelector('.page, .inbox') !== null");
      const wide = await browser.page.evaluate<readonly string[]>(tooWide);
      expect([one, wide]).toEqual([one, []]);
    }
  });

  onDesk("a number is connected by a code that renews itself", async () => {
    await go("Channels");
    await browser.page.clock.install();
    await press("Connect a number");
    await browser.page.getByLabel("Name, for people").fill("Support");
    await press("Create and show the code");
    const code = browser.page.getByAltText("QR code to scan with the phone");
    const first = await code.getAttribute("src");
    await browser.page.clock.fastForward(5_000);
    await expect.poll(() => code.getAttribute("src")).not.toBe(first);
    const made = router.channels.at(-1);
    router.moveChannel(made?.id ?? "", "connected", { phone: "5511900000000", webhookConfigured: true });
    await sees("Support is connected");
    await sees("Messages arrive from now on.");
    await sees(/\+5511900000000/);
  });

  test("a message arrives by itself, is read and answered, and its acks are seen", async () => {
    await browser.page.getByRole("link", { name: /Ana Souza.*2 unread/s }).click();
    await sees("Hi! Sorry, I missed it.");
    await expect.poll(() => router.conversations[0]?.unread).toBe(0);
    router.receive(id(11), "Are you there?");
    await browser.page.locator(".messages").getByText("Are you there?").waitFor();
    await expect.poll(() => router.conversations[0]?.unread).toBe(0);
    await browser.page.getByLabel("Reply").fill("Yes, here I am. <b>&amp;</b>");
    await browser.page.keyboard.press("Enter");
    const bubble = browser.page.locator(".bubble.out").last();
    await bubble.getByText("Yes, here I am. <b>&amp;</b>").waitFor();
    expect(router.sent).toMatchObject([
      { to: { conversationId: id(11) }, content: { type: "text", text: "Yes, here I am. <b>&amp;</b>" }, by: "test" },
    ]);
    const sent = router.messages.at(-1)?.id ?? "";
    for (const state of ["sent", "delivered", "read"] as const) {
      router.moveMessage(sent, { state });
      await expect.poll(() => bubble.getAttribute("data-state")).toBe(state);
    }
    router.moveMessage(sent, { state: "failed", error: { code: "refused", message: "The number is blocked." } });
    await bubble.getByText("The number is blocked.").waitFor();
    await press("Close");
    await expect.poll(() => router.conversations[0]?.state).toBe("closed");
  });

  onDesk("an event shows its rule, its actions and its deliveries, and is routed again", async () => {
    await go("Events");
    await browser.page.getByRole("link", { name: /billing\.invoice\.overdue/ }).click();
    await sees("Invoice reminder");
    await sees(/"amount": 180/);
    await sees(/true_5511912345678@c.us_9/);
    await sees("Internal Server Error");
    await press("Route again");
    await expect.poll(() => router.replays).toMatchObject([{ eventIds: [eventId(51)], repeat: false, by: "test" }]);
    await browser.page.getByRole("link", { name: "Invoice reminder" }).click();
    await sees(/Version 3/);
  });

  onDesk("dead events are found, and tried again together", async () => {
    await go("Events");
    await browser.page.getByLabel("Status").selectOption("dead");
    await press("Try all of them again");
    await expect.poll(() => router.replays).toMatchObject([{ filter: { status: "dead" } }]);
  });

  onDesk("a rule is changed, tried without doing anything, and saved as a version", async () => {
    router.report = {
      verdicts: [
        { ruleId: id(41), ruleVersion: 3, name: "Invoice reminder", matched: true, reason: "matched", actions: [] },
      ],
      effects: [{ ruleId: id(41), step: 0, action: { type: "log", note: "would be said" } }],
    };
    await go("Rules");
    await browser.page.getByRole("link", { name: /Invoice reminder/ }).click();
    await browser.page.getByLabel("Only if").fill("payload.invoice.amount > 500");
    await browser.page.getByLabel("Payload", { exact: true }).fill('{"invoice":{"amount":600}}');
    await press("Try");
    await sees(/would be said/);
    expect(router.trials).toMatchObject([
      {
        event: { type: "billing.invoice.overdue", payload: { invoice: { amount: 600 } } },
        rules: [{ condition: "payload.invoice.amount > 500" }, { name: "Messages to the inbox" }],
      },
    ]);
    await press("Save");
    await sees(/Version 4/);
    expect(router.rules[0]).toMatchObject({
      version: 4,
      condition: "payload.invoice.amount > 500",
      updatedBy: "test",
      hours: { weekly: [{ days: [1, 2, 3, 4, 5], from: "08:00", to: "18:00" }] },
      actions: [{ type: "send_message" }, { type: "webhook", endpoint_id: id(61) }],
    });
  });

  onDesk("a new rule is made from nothing", async () => {
    await go("Rules");
    await browser.page.getByRole("link", { name: "New rule" }).click();
    await browser.page.getByLabel("Name").fill("Missed calls");
    await browser.page.getByLabel("When this happens").fill("call.missed");
    await browser.page.getByLabel("Action 1").selectOption("send_message");
    await browser.page.getByLabel("Text;").fill("We missed your call.");
    await press("Save");
    await sees(/Version 1/);
    expect(router.rules.at(-1)).toMatchObject({
      eventType: "call.missed",
      actions: [{ type: "send_message", content: { type: "text", text: "We missed your call." } }],
    });
  });

  onDesk("a dead delivery is tried again, and an endpoint shows its secret once", async () => {
    await go("Webhooks");
    await press("Try again");
    await expect.poll(() => router.deliveries[0]?.state).toBe("pending");
    await sees(/Next attempt/);
    await press("Add an endpoint");
    await browser.page.getByLabel("Address").fill("https://example.com/hook");
    await browser.page.getByRole("button", { name: "Add", exact: true }).click();
    const secret = router.rotations.at(-1)?.secret;
    await sees(/whsec_/);
    expect(router.rotations.at(-1)?.secret ?? secret).toBe(await browser.page.locator(".secret code").textContent());
    await press("Done");
    expect(await browser.page.getByText(/whsec_/).count()).toBe(0);
  });

  test("stays signed in over a reload, and not after signing out", async () => {
    await browser.page.reload();
    await browser.page.getByRole("navigation", { name: "Pages" }).waitFor();
    await press("Sign out");
    signedOut = true;
    await browser.page.getByLabel("API key").waitFor();
    await browser.page.reload();
    await browser.page.getByLabel("API key").waitFor();
  });
});
