import { expect, test } from "vitest";
import { SharedReads } from "#router/shared-reads.ts";

test("who asks while a read is under way shares the next one, and never an answer from before", async () => {
  const reads: ((value: number) => void)[] = [];
  const shared = new SharedReads(() => new Promise<number>((resolve) => reads.push(resolve)));
  const first = shared.get("a");
  const [second, third] = [shared.get("a"), shared.get("a")];
  const other = shared.get("b");
  expect(reads).toHaveLength(2);
  reads[0]?.(1);
  reads[1]?.(10);
  expect([await first, await other]).toEqual([1, 10]);
  await Promise.resolve();
  const fourth = shared.get("a");
  expect(reads).toHaveLength(3);
  reads[2]?.(2);
  expect(await Promise.all([second, third])).toEqual([2, 2]);
  expect(reads).toHaveLength(4);
  reads[3]?.(3);
  expect(await fourth).toBe(3);
});

test("a read that fails fails those who shared it, and nobody else", async () => {
  let attempts = 0;
  const shared = new SharedReads(async () => {
    attempts += 1;
    if (attempts === 1) throw new Error("away");
    return attempts;
  });
  const [first, second] = [shared.get("a"), shared.get("a")];
  await expect(first).rejects.toThrow("away");
  expect(await second).toBe(2);
});
