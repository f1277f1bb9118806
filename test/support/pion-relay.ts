import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Modes } from "#sandbox/meta/modes.ts";
import { valuesOf } from "#sandbox/meta/sdp-view.ts";
import type { RelayCall, RelayEvents, RelayPort, RelayStatistics } from "#sandbox/relay/ports.ts";
import { freePort } from "./free-port.ts";
import { soundOf } from "./ogg-opus.ts";
import { pathOf } from "./peers.ts";

/** How often Pion is asked how a call is going. */
const ASK_MS = 20;

/** What Pion says of a call. */
export interface PionReport {
  readonly id: string;
  readonly state: string;
  readonly sent: number;
  readonly received: number;
  readonly lost: number;
  readonly longestGapMs: number;
  readonly digits: string;
}

interface Offered {
  readonly id: string;
  readonly sdp: string;
}

/**
 * Pion in the place of Meta's relay and of the user's phone: its offer is in the connect webhook, ice-lite, all calls on one
 * UDP port. It says `voice` over and over, and keeps what it hears.
 */
export class PionRelay implements RelayPort {
  readonly #voice: Buffer;
  readonly #waiting: Offered[] = [];
  readonly #opened: string[] = [];
  readonly #answers = new Map<string, PromiseWithResolvers<string>>();
  readonly #running = new Set<Promise<unknown>>();
  #process: ChildProcess | undefined;
  #url = "";
  #folder = "";

  /** @param voice an Ogg-Opus file, a packet in each page. */
  constructor(voice: Buffer) {
    this.#voice = voice;
  }

  async start(): Promise<void> {
    this.#folder = await mkdtemp(join(tmpdir(), "ponte-pion-"));
    const voice = join(this.#folder, "voice.opus");
    await writeFile(voice, this.#voice);
    const [listen, media] = [`127.0.0.1:${await freePort()}`, await freePort()];
    this.#url = `http://${listen}`;
    const options = ["-listen", listen, "-bind", "127.0.0.1", "-port", String(media), "-meta", "-lite"];
    this.#process = spawn(pathOf("pion"), [...options, "-opus", voice, "-record", this.#folder], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    for await (const line of createInterface({ input: this.#process.stdout ?? process.stdin })) {
      if (line.includes("READY")) return;
    }
    throw new Error("Pion ended before it was ready");
  }

  async stop(): Promise<void> {
    await Promise.allSettled(this.#running);
    const pion = this.#process;
    this.#process = undefined;
    if (pion === undefined) return;
    const gone = once(pion, "close");
    pion.kill();
    await gone;
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** Gets offers for so many calls; to be asked before they are placed, for `open` cannot wait. */
  async prepare(count: number): Promise<void> {
    for (let n = 0; n < count; n += 1) this.#waiting.push(await this.#ask<Offered>("/offer", {}));
  }

  /** ponte's answer as Meta got it; the simulated Meta passes on only what it read. */
  tell(sdp: string): void {
    this.#answerOf(/^a=ice-ufrag:(\S+)/m.exec(sdp)?.[1] ?? "").resolve(sdp);
  }

  /** Pion's names of the calls, in the order in which they were placed. */
  get opened(): readonly string[] {
    return this.#opened;
  }

  async report(id: string): Promise<PionReport> {
    const { calls } = await this.#ask<{ readonly calls: readonly PionReport[] }>("/stats", { id });
    const [report] = calls;
    if (report === undefined) throw new Error(`Pion has no call ${id}`);
    return report;
  }

  async press(id: string, digits: string): Promise<void> {
    await this.#ask("/dtmf", { id, digits });
  }

  /** Everything that a call has heard so far. */
  async heard(id: string): Promise<Int16Array> {
    return soundOf(await readFile(join(this.#folder, `${id}.ogg`)));
  }

  open(_modes: Modes, events: RelayEvents): RelayCall {
    const offered = this.#waiting.shift();
    if (offered === undefined) throw new Error("no offer of Pion's is prepared");
    const { id, sdp } = offered;
    this.#opened.push(id);
    const life = { over: false };
    return {
      offer: sdp,
      answer: (view) => {
        const [ufrag = ""] = valuesOf(view, "ice-ufrag");
        this.#run(this.#answered(id, ufrag, events, life));
      },
      accept: () => undefined,
      sendRtp: () => undefined,
      statistics: () => nothing,
      close: () => {
        life.over = true;
        this.#run(this.#ask("/hangup", { id }));
      },
    };
  }

  async #answered(id: string, ufrag: string, events: RelayEvents, life: { over: boolean }): Promise<void> {
    const sdp = await this.#answerOf(ufrag).promise;
    await this.#ask("/answer", { id, sdp });
    let connected = false;
    while (!life.over) {
      const { state, received } = await this.report(id);
      if (life.over) return;
      if (!connected && state === "connected") {
        connected = true;
        events.onConnected();
      }
      if (received > 0) {
        events.onFirstRtp();
        return;
      }
      await new Promise((next) => setTimeout(next, ASK_MS));
    }
  }

  #answerOf(ufrag: string): PromiseWithResolvers<string> {
    const known = this.#answers.get(ufrag) ?? Promise.withResolvers<string>();
    this.#answers.set(ufrag, known);
    return known;
  }

  /** Keeps what goes on beside the calls. A call that ended meanwhile is not an error. */
  #run(task: Promise<unknown>): void {
    const quiet = task.catch(() => undefined).finally(() => this.#running.delete(quiet));
    this.#running.add(quiet);
  }

  async #ask<T>(path: string, body: object): Promise<T> {
    const answer = await fetch(`${this.#url}${path}`, { method: "POST", body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`Pion ${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  }
}

const nothing: RelayStatistics = { fromBusiness: 0, toBusiness: 0, heldBack: 0, lost: 0, digits: "" };
