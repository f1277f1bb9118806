import { fileURLToPath } from "node:url";
import { ingestBench } from "./ingest.ts";
import { mediaBench } from "./media.ts";
import { type Bench, isMet, type Outcome, writeReport } from "./report.ts";
import { routerBench } from "./router.ts";
import { setupBench } from "./setup.ts";

/**
 * `npm run bench [name …]`: runs the benchmarks and writes `test-results/bench.{json,md}`. Every figure that has to be compared
 * is measured in the same run, because machines differ. Exit status 1 when a demand is not met.
 */
const benches: readonly Bench[] = [mediaBench, setupBench, routerBench, ingestBench];

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !benches.some((bench) => bench.name === name));
if (unknown.length > 0) {
  console.error(`no such benchmark: ${unknown.join(", ")}; there are: ${benches.map(({ name }) => name).join(", ")}`);
  process.exit(2);
}

const outcomes: Outcome[] = [];
for (const bench of benches.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
  console.error(`${bench.name}: ${bench.says}`);
  outcomes.push({ bench, figures: await bench.run((line) => console.error(`  ${line}`)) });
}
console.log(await writeReport(fileURLToPath(new URL("../../test-results", import.meta.url)), outcomes));
process.exitCode = outcomes.every(({ figures }) => figures.every(isMet)) ? 0 : 1;
