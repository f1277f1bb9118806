import { expect, test } from "vitest";
import { CodecLoad } from "#media/worker/codec-load.ts";

test("encoders do less when the worker is busy, and more again only when it is clearly not", async () => {
  const load = new CodecLoad();
  const encoder = await load.encoder();
  const told: number[] = [];
  const real = encoder.setComplexity.bind(encoder);
  encoder.setComplexity = (complexity) => {
    told.push(complexity);
    real(complexity);
  };
  const steps = [0.2, 0.45, 0.55, 0.65, 0.45, 0.39, 0.9, 0.65, 0.59, 0.1].map((utilization) => {
    load.adapt(utilization);
    return load.complexity;
  });
  expect(steps).toEqual([5, 5, 2, 2, 2, 5, 1, 1, 2, 5]);
  expect(told).toEqual([2, 5, 1, 2, 5]);
  load.release(encoder);
  load.release(encoder);
  load.adapt(0.95);
  expect(told).toHaveLength(5);
});

test("a new encoder starts at the complexity of the moment", async () => {
  const load = new CodecLoad();
  load.adapt(1);
  expect(load.complexity).toBe(1);
  load.release(await load.encoder());
  const decoder = await load.decoder();
  expect(decoder.decodePacketLoss(160)).toHaveLength(160);
  decoder.free();
});
