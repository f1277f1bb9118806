import { type Browser, chromium, type Page } from "playwright-core";
import { pathOf } from "#test/support/peers.ts";

export const PHONE = { width: 390, height: 844 };
export const DESK = { width: 1280, height: 820 };

/** A headless Chromium with one page, whose errors are kept. */
export class BrowserPage {
  readonly page: Page;
  /** Errors of scripts, of the console, and what the content policy refused. */
  readonly problems: readonly string[];
  /** Requests that went anywhere but to the server itself. */
  readonly strayed: readonly string[];
  readonly #browser: Browser;

  private constructor(page: Page, problems: readonly string[], strayed: readonly string[], browser: Browser) {
    this.page = page;
    this.problems = problems;
    this.strayed = strayed;
    this.#browser = browser;
  }

  static async open(url: string, viewport = DESK): Promise<BrowserPage> {
    const browser = await chromium.launch({
      executablePath: pathOf("chromium"),
      headless: true,
      args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"],
    });
    const page = await browser.newPage({ viewport, locale: "en-GB", timezoneId: "America/Sao_Paulo" });
    page.setDefaultTimeout(8_000);
    const problems: string[] = [];
    const strayed: string[] = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") problems.push(message.text());
    });
    page.on("request", (request) => {
      if (!request.url().startsWith(url) && !request.url().startsWith("data:")) strayed.push(request.url());
    });
    await page.goto(url);
    return new BrowserPage(page, problems, strayed, browser);
  }

  async close(): Promise<void> {
    await this.#browser.close();
  }
}
