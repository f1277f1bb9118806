import { randomBytes } from "node:crypto";
import { expect } from "vitest";
import { createLog } from "#src/log.ts";
import { SandboxWorld } from "#src/sandbox-world.ts";
import { type CallReport, type Look, TestCalls } from "#src/test-calls.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";
import { heldBytes } from "#test/support/memory.ts";
import { eventually } from "#test/support/world.ts";

/** How a round goes: so many calls at once, this often, one time after the other. */
export interface Rounds {
  readonly atOnce: number;
  readonly rounds: number;
  readonly look: Look;
}

/** Growth that is no leak, bytes: compiled code, and noise of the collector. */
export interface Limits {
  readonly main: number;
  /** Of each media worker. */
  readonly worker: number;
}

/**
 * One daemon and its world for all rounds, so that what a call leaves behind, in whatever part, is still there when memory is
 * looked at. Nothing in here keeps anything of a call.
 */
export class LastingWorld {
  readonly #sandbox: SandboxWorld;
  readonly #database: TestDatabase;
  readonly #errors: readonly string[];
  readonly #calls: TestCalls;

  private constructor(sandbox: SandboxWorld, database: TestDatabase, errors: readonly string[], calls: TestCalls) {
    this.#sandbox = sandbox;
    this.#database = database;
    this.#errors = errors;
    this.#calls = calls;
  }

  static async start(): Promise<LastingWorld> {
    const database = await withDatabase();
    const key = randomBytes(24).toString("base64url");
    const errors: string[] = [];
    const destination = { write: (line: string) => void (line.includes('"level":"error"') && errors.push(line)) };
    const sandbox = new SandboxWorld({
      log: createLog({ level: "trace", redact: { phoneNumbers: "masked" }, destination }),
      version: "test",
      settings: { http: { port: 0, api_key: key }, database: { url: database.url }, media: { workers: 1 } },
      trunk: { codecs: ["PCMU"] },
    });
    const { httpUrl } = await sandbox.start();
    return new LastingWorld(sandbox, database, errors, new TestCalls(sandbox, { url: httpUrl, key }));
  }

  /** One call to the PBX's own tone. */
  async hearTone(look: Look): Promise<void> {
    await this.#judge([await this.#calls.tone(look)]);
  }

  /** Places calls; all are heard, and after each round nothing is left over. */
  async place({ atOnce, rounds, look }: Rounds): Promise<void> {
    for (let round = 0; round < rounds; round += 1) {
      const reports = await this.#calls.echoes(atOnce, look);
      expect(reports).toHaveLength(atOnce);
      await this.#judge(reports);
    }
  }

  async #judge(reports: readonly CallReport[]): Promise<void> {
    expect(reports.flatMap((call) => call.problems)).toEqual([]);
    expect(await this.#calls.leftOver()).toEqual([]);
    expect(this.#calls.violations()).toEqual([]);
    expect(this.#errors).toEqual([]);
    this.#sandbox.meta.log.clear();
  }

  /** Does this, and asserts that it leaves no more than so much in memory. */
  async expectFlat(limits: Limits, work: () => Promise<void>): Promise<void> {
    // The first look brings into memory what looking takes.
    await heldBytes(this.#sandbox.daemon);
    const before = await heldBytes(this.#sandbox.daemon);
    await work();
    const grown = await eventually("memory going back to where it was", async () => {
      const { main, workers } = await heldBytes(this.#sandbox.daemon);
      const growth = { main: main - before.main, workers: workers.map((held, n) => held - (before.workers[n] ?? 0)) };
      const flat = growth.main <= limits.main && growth.workers.every((bytes) => bytes <= limits.worker);
      return flat ? growth : { missing: growth };
    });
    expect(grown.workers).toHaveLength(1);
  }

  async stop(): Promise<void> {
    await this.#sandbox.stop();
    await this.#database.drop();
  }
}
