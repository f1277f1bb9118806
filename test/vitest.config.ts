import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const root = fileURLToPath(new URL("..", import.meta.url));

const report = process.env["PONTE_TEST_REPORT"];

/**
 * One project per suite. `unit` is pure and runs in milliseconds; `protocol` speaks the wire over loopback; `e2e` places
 * calls that are heard, one file at a time, because its audio is measured. The suites run one after the other.
 */
export default defineConfig({
  root,
  test: {
    reporters: report === undefined ? ["default"] : ["default", ["json", { outputFile: report }]],
    // The suite's one Postgres, started by the first test that asks for it.
    globalSetup: ["test/support/database-server.ts"],
    projects: [
      {
        extends: true,
        test: { name: "unit", include: ["test/unit/**/*.test.ts"], testTimeout: 5_000, sequence: { groupOrder: 0 } },
      },
      {
        extends: true,
        test: {
          name: "protocol",
          include: ["test/protocol/**/*.test.ts"],
          testTimeout: 20_000,
          pool: "forks",
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          pool: "forks",
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
