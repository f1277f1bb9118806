import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Most of our tests wait for the wire, so there is room for one file more than there are cores. */
const maxWorkers = availableParallelism() + 1;

/** Fails whoever leaves a socket, a child, a thread or a timer behind. */
const setupFiles = ["test/support/check-leftovers.ts"];

const report = process.env["PONTE_TEST_REPORT"];

/** Messages, and calls that come to nothing or are cut off: most of the time nobody listens to them closely. */
const faults = ["refusals", "robust-*", "messages*"].map((name) => `test/e2e/${name}.test.ts`);

const e2e = { testTimeout: 60_000, hookTimeout: 60_000, pool: "forks", setupFiles } as const;

/**
 * One project per suite. `unit` is pure and runs in milliseconds; `protocol` speaks the wire over loopback; `e2e` places
 * calls. Those that are listened to have the machine to themselves, one file at a time, because a hole in the sound is a
 * fault; `e2e-faults` are the others. The suites run one after the other.
 */
export default defineConfig({
  root,
  test: {
    reporters: report === undefined ? ["default"] : ["default", ["json", { outputFile: report }]],
    // The suite's one Postgres, started by the first test that asks for it.
    globalSetup: ["test/support/database-server.ts"],
    maxWorkers,
    // postgres.js asks for array types on each new connection and leaves the answer to nobody: where a test takes the database
    // away at that moment, the rejection is the library's. The daemon logs it and goes on.
    onUnhandledError: (error) => !String(Reflect.get(error, "query") ?? "").includes("pg_catalog.pg_type"),
    // What is polled for comes in milliseconds; on a busy machine, in seconds.
    expect: { poll: { interval: 10, timeout: 8_000 } },
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          testTimeout: 5_000,
          // Pure tests share nothing that one could spoil for another, so each worker loads a module once.
          isolate: false,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "protocol",
          include: ["test/protocol/**/*.test.ts"],
          setupFiles,
          testTimeout: 20_000,
          pool: "forks",
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: { ...e2e, name: "e2e-faults", include: faults, sequence: { groupOrder: 2 } },
      },
      {
        extends: true,
        test: {
          ...e2e,
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          exclude: faults,
          fileParallelism: false,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
