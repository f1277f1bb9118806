import { afterAll, beforeEach } from "vitest";
import { activeResources, nothingMoreThan } from "./leftovers.ts";

/**
 * Vitest loads this before each file of the suites that open things: a test that leaves a socket, a child, a thread or a
 * timer behind fails, and so does a file. What is declared first, which is here, is called last: when the tests' own hooks
 * have closed what they know of. Tests that run side by side are judged together, at the end of their file, and so are
 * those that share a pool of connections to a database, which opens them as it needs them.
 */

const LIMIT_MS = 20_000;
const sharesConnections = /\/test\/(protocol\/store|e2e)\//;

const beforeFile = activeResources();
afterAll(() => nothingMoreThan(beforeFile), LIMIT_MS);

beforeEach(({ task, onTestFinished }) => {
  if (task.concurrent === true || sharesConnections.test(task.file.filepath)) return;
  const before = activeResources();
  onTestFinished(() => nothingMoreThan(before), LIMIT_MS);
});
