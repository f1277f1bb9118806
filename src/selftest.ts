import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Log } from "#engine/ports.ts";
import { SandboxWorld } from "./sandbox-world.ts";
import { type CallReport, TestCalls } from "./test-calls.ts";

export interface SelftestOptions {
  readonly log: Log;
  readonly version: string;
  /** Calls at once. */
  readonly calls: number;
  /** How long each is listened to. */
  readonly seconds: number;
  /** How often that is done, one time after the other. */
  readonly rounds: number;
  /** What the PBX is offered. */
  readonly codec: "opus" | "PCMU" | "PCMA";
}

export interface SelftestReport {
  readonly ok: boolean;
  /** To the PBX's tone, before the others; it is not one of the calls that were asked for. */
  readonly toneCall: CallReport;
  /** As many as were asked for. */
  readonly calls: readonly CallReport[];
  /** Live calls, dialogs, and the like that should have gone. */
  readonly leftOver: readonly string[];
  /** Rules of the simulated Meta that were broken. */
  readonly violations: readonly string[];
}

/**
 * Places simulated calls through a daemon of its own, end to end, and says what was heard. The configuration that a daemon runs
 * on is left out: a trunk of it rings real phones.
 */
export async function selftest(options: SelftestOptions): Promise<SelftestReport> {
  // Made by the launcher, because as root Postgres runs as another user.
  const folder = join(tmpdir(), `ponte-selftest-${randomBytes(6).toString("hex")}`);
  const key = randomBytes(24).toString("base64url");
  const world = new SandboxWorld({
    log: options.log,
    version: options.version,
    settings: { http: { port: 0, api_key: key }, database: { data_dir: folder } },
    trunk: { codecs: [options.codec] },
  });
  try {
    const { httpUrl } = await world.start();
    return await reportOf(new TestCalls(world, { url: httpUrl, key }), options);
  } finally {
    await world.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** What calls in a world come to: one to the PBX's tone, and those that were asked for. */
export async function reportOf(
  testCalls: Pick<TestCalls, "tone" | "echoes" | "leftOver" | "violations">,
  { calls: count, rounds, seconds }: Pick<SelftestOptions, "calls" | "rounds" | "seconds">,
): Promise<SelftestReport> {
  const toneCall = await testCalls.tone({ seconds });
  const calls: CallReport[] = [];
  for (let round = 0; round < rounds; round += 1) calls.push(...(await testCalls.echoes(count, { seconds })));
  const leftOver = await testCalls.leftOver();
  const violations = testCalls.violations();
  const well = [toneCall, ...calls].every((call) => call.problems.length === 0);
  return { ok: well && leftOver.length === 0 && violations.length === 0, toneCall, calls, leftOver, violations };
}
