import { expect } from "vitest";
import type { CollectedLog } from "#test/support/log.ts";

/** Shorter texts turn up by chance. */
const SHORTEST_SECRET = 6;

/** Ids and people of calls, and ICE passwords, as they stand in what the simulated Meta sent and was sent. */
const personal = [
  /(wacid\.[A-Za-z0-9+/]+)/g,
  /a=ice-pwd:([^\\"]+)/g,
  /"wa_id\\*":\\*"(\d+)/g,
  /"from\\*":\\*"(\d{8,})/g,
  /"profile\\*":\{\\*"name\\*":\\*"([^\\"]+)/g,
];

/**
 * Asserts that a log gives nothing away at any level, and that nothing in it wants a person.
 *
 * @param credentials What the daemon was given and has made.
 * @param exchanged Everything that went over to Meta and came from there.
 */
export function expectCleanLog(
  log: CollectedLog,
  credentials: readonly (string | undefined)[],
  exchanged: unknown,
): void {
  const told = JSON.stringify(exchanged);
  const found = personal.flatMap((pattern) => [...told.matchAll(pattern)].map((match) => match[1]));
  const secrets = new Set([...credentials, ...found].filter((secret) => secret !== undefined));
  expect(secrets.size, "there is something that could leak").toBeGreaterThanOrEqual(4);
  const text = log.text();
  const lines = log.lines();
  for (const secret of secrets) {
    if (secret.length < SHORTEST_SECRET || !text.includes(secret)) continue;
    expect(lines.filter((line) => JSON.stringify(line).includes(secret))[0], "leaked").toBe("");
  }
  expect(lines.filter(({ level }) => level === "error")).toEqual([]);
  // Digits may be a PIN: never above debug.
  const loud = lines.filter(({ level }) => !["debug", "trace"].includes(level));
  expect(loud.filter((line) => "digit" in line || "digits" in line)).toEqual([]);
}
