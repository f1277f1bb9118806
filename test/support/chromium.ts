import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { listen, ToneGenerator, type ToneReport } from "#core/audio/tone.ts";
import { pathOf } from "#test/support/peers.ts";

const SAMPLE_RATE = 48_000;
/** Chromium plays the file over and over; whole seconds hold whole periods, so that the seam is not heard. */
const FILE_SECONDS = 4;

const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--disable-sync",
  "--disable-background-networking",
  "--disable-component-update",
  "--no-first-run",
  "--allow-loopback-in-peer-connection",
  "--disable-features=WebRtcHideLocalIpsWithMdns",
  "--autoplay-policy=no-user-gesture-required",
];

/** A microphone that plays a file, and leave to use it. */
const microphoneFlags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"];

/** The little of a browser that is used here, for a project without its types. */
interface BrowserWindow {
  heardTrack?: object;
  RTCPeerConnection: new (...args: never[]) => BrowserPeer;
  /** Chromium's: a stream of `AudioData` out of a track. */
  readonly MediaStreamTrackProcessor: new (options: {
    readonly track: object;
  }) => { readonly readable: ReadableStream<BrowserAudio> };
}

interface BrowserPeer {
  addEventListener(type: "track", listener: (event: { readonly track: object }) => void): void;
}

interface BrowserAudio {
  readonly numberOfFrames: number;
  readonly sampleRate: number;
  copyTo(target: Float32Array, options: { readonly planeIndex: number; readonly format: "f32-planar" }): void;
  close(): void;
}

/** The sandbox's phone page in a headless Chromium, whose microphone hums if it has one. */
export class PhonePage {
  readonly page: Page;
  /** Errors of the page's scripts and of its console. */
  readonly problems: readonly string[];
  readonly #browser: Browser;
  readonly #folder: string;

  private constructor(page: Page, problems: readonly string[], browser: Browser, folder: string) {
    this.page = page;
    this.problems = problems;
    this.#browser = browser;
    this.#folder = folder;
  }

  /** Opens the page; its microphone hears `hz`. Without it there is none, nor leave to use one. */
  static async open(url: string, hz?: number): Promise<PhonePage> {
    const folder = await mkdtemp(join(tmpdir(), "ponte-page-"));
    const file = join(folder, "microphone.wav");
    if (hz !== undefined) await writeFile(file, wavOf(hz));
    const browser = await chromium.launch({
      executablePath: pathOf("chromium"),
      headless: true,
      args: hz === undefined ? flags : [...flags, ...microphoneFlags, `--use-file-for-fake-audio-capture=${file}`],
    });
    const page = await browser.newPage();
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") problems.push(message.text());
    });
    await page.addInitScript(keepTracks);
    await page.goto(url);
    return new PhonePage(page, problems, browser, folder);
  }

  /** Presses the call button of a number. */
  async dial(name: string): Promise<void> {
    await this.page.getByRole("button", { name: `Call ${name},` }).click();
  }

  /** Waits until the phone shows this state: `ringing`, `talking`, `ended`. */
  async shows(state: string): Promise<void> {
    await this.page.waitForSelector(`#state[data-state="${state}"]`);
  }

  async text(id: string): Promise<string> {
    return (await this.page.locator(`#${id}`).textContent()) ?? "";
  }

  /** Presses keys as a finger does, one after the other. */
  async press(keys: string): Promise<void> {
    if (await this.page.locator("#keypad").isHidden()) await this.page.click("#keys");
    for (const key of keys) await this.page.click(`#keypad [data-key="${key}"]`);
  }

  async hangUp(): Promise<void> {
    await this.page.click("#hang-up");
  }

  /** Listens from now on to what the browser received. */
  async listen(ms: number, expectedHz?: number): Promise<ToneReport> {
    const heard = await this.page.evaluate(recordTrack, (SAMPLE_RATE * ms) / 1_000);
    const bytes = Buffer.from(heard, "base64");
    const samples = Int16Array.from({ length: bytes.length / 2 }, (_, i) => bytes.readInt16LE(2 * i));
    return listen(samples, SAMPLE_RATE, expectedHz);
  }

  async close(): Promise<void> {
    await this.#browser.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Runs in the page before its own scripts: keeps the track of the latest call at hand. */
function keepTracks(): void {
  const browser = globalThis as unknown as BrowserWindow;
  const Real = browser.RTCPeerConnection;
  browser.RTCPeerConnection = class extends Real {
    constructor(...args: never[]) {
      super(...args);
      this.addEventListener("track", ({ track }) => {
        browser.heardTrack = track;
      });
    }
  };
}

/**
 * Runs in the page: the next so many samples of the received track, which has passed Chromium's jitter buffer, as base64 of
 * 16-bit PCM. Less when the track ends.
 */
async function recordTrack(wanted: number): Promise<string> {
  const browser = globalThis as unknown as BrowserWindow;
  if (browser.heardTrack === undefined) return "";
  const reader = new browser.MediaStreamTrackProcessor({ track: browser.heardTrack }).readable.getReader();
  const samples = new Int16Array(wanted);
  let length = 0;
  while (length < wanted) {
    const { value: audio } = await reader.read();
    if (audio === undefined) break;
    const piece = new Float32Array(audio.numberOfFrames);
    audio.copyTo(piece, { planeIndex: 0, format: "f32-planar" });
    audio.close();
    for (const sample of piece) if (length < wanted) samples[length++] = Math.round(sample * 32_767);
  }
  await reader.cancel();
  let bytes = "";
  for (const byte of new Uint8Array(samples.buffer, 0, 2 * length)) bytes += String.fromCharCode(byte);
  return btoa(bytes);
}

/** 16-bit mono at 48 kHz. */
function wavOf(hz: number): Buffer {
  const samples = new ToneGenerator(hz, SAMPLE_RATE).fill(new Int16Array(SAMPLE_RATE * FILE_SECONDS));
  const header = Buffer.alloc(44);
  header.write("RIFF", 0);
  header.writeUInt32LE(36 + samples.byteLength, 4);
  header.write("WAVEfmt ", 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(SAMPLE_RATE, 24);
  header.writeUInt32LE(SAMPLE_RATE * 2, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write("data", 36);
  header.writeUInt32LE(samples.byteLength, 40);
  return Buffer.concat([header, Buffer.from(samples.buffer)]);
}
