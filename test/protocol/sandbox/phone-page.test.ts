import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ToneGenerator } from "#core/audio/tone.ts";
import { PhoneServer } from "#sandbox/phone/phone-server.ts";
import type { WatchedEvent } from "#sandbox/phone/timeline.ts";
import { answerAll, number, openSandbox, type Sandbox } from "./business.ts";

const executablePath = process.env["PONTE_CHROMIUM"] ?? "/usr/bin/chromium";
const required = process.env["PONTE_REQUIRE_PEERS"] === "1";
const present = existsSync(executablePath);

const demo = {
  id: number.phoneNumberId,
  display: number.displayPhoneNumber,
  name: "Echo",
  explanation: "You hear yourself.",
  extension: "600",
};

let sandbox: Sandbox;
let server: PhoneServer;
let browser: Browser;
let page: Page;
let folder: string;
let url: string;
let tell: (event: WatchedEvent) => void = () => undefined;
const problems: string[] = [];

/** 16-bit mono at 48 kHz, four seconds that Chromium plays over and over as its microphone. */
async function microphoneFile(hz: number): Promise<string> {
  const samples = new ToneGenerator(hz, 48_000).fill(new Int16Array(48_000 * 4));
  const header = Buffer.alloc(44);
  header.write("RIFF", 0);
  header.writeUInt32LE(36 + samples.byteLength, 4);
  header.write("WAVEfmt ", 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(48_000, 24);
  header.writeUInt32LE(96_000, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write("data", 36);
  header.writeUInt32LE(samples.byteLength, 40);
  const path = join(folder, "microphone.wav");
  await writeFile(path, Buffer.concat([header, Buffer.from(samples.buffer)]));
  return path;
}

async function open(more: readonly string[]): Promise<void> {
  browser = await chromium.launch({
    executablePath,
    headless: true,
    args: [
      "--no-sandbox",
      "--autoplay-policy=no-user-gesture-required",
      "--allow-loopback-in-peer-connection",
      "--disable-features=WebRtcHideLocalIpsWithMdns",
      ...more,
    ],
  });
  page = await browser.newPage();
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(message.text());
  });
  await page.goto(url);
}

/** Waits until the page's meter hears this frequency. */
async function hears(hz: number): Promise<void> {
  const meter = async (name: string): Promise<number> => Number(await page.locator("#heard-text").getAttribute(name));
  const poll = { timeout: 8_000, interval: 100 };
  await expect.poll(async () => Math.abs((await meter("data-hz")) - hz), poll).toBeLessThan(4);
  await expect.poll(() => meter("data-db"), poll).toBeGreaterThan(-30);
}

describe.skipIf(!present && !required)(`the phone page (Chromium at ${executablePath})`, () => {
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "ponte-page-"));
    problems.length = 0;
    sandbox = await openSandbox();
    answerAll(sandbox.business);
    server = new PhoneServer({
      meta: sandbox.meta,
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
    await browser?.close();
    await server.stop();
    await sandbox.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test("a call from the microphone is heard, shows its timeline, takes keys and ends", async () => {
    const file = await microphoneFile(440);
    await open([
      "--use-fake-ui-for-media-stream",
      "--use-fake-device-for-media-stream",
      `--use-file-for-fake-audio-capture=${file}`,
    ]);
    await page.click('[data-extension="600"]');
    await page.waitForSelector('#state[data-state="talking"]');
    await hears(440);
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
    await open([]);
    await page.fill("#hz", "700");
    await page.click('[data-extension="600"]');
    await hears(700);
    expect(await page.locator("#notice").textContent()).toMatch(/no microphone/);
    await page.click("#hang-up");
    await page.waitForSelector('#state[data-reason="hung_up"]');
    sandbox.business.onConnect = ({ id }) => void sandbox.business.act("reject", id);
    await page.click("#again");
    await page.waitForSelector('#state[data-reason="rejected"]');
    expect(await page.locator("#state").textContent()).toBe("Declined");
    expect(problems).toEqual([]);
  });
});
