// Sums the reports of several runs up in one line. A test that ran more than once counts as it did the last time.
import { existsSync, readFileSync } from "node:fs";

const outcomes = new Map();
let incomplete = false;
for (const path of process.argv.slice(2)) {
  if (!existsSync(path)) {
    process.stderr.write(`There is no report ${path}.\n`);
    incomplete = true;
    continue;
  }
  const report = JSON.parse(readFileSync(path, "utf8"));
  for (const file of report.testResults) {
    for (const test of file.assertionResults) outcomes.set(`${file.name} ${test.fullName}`, test.status);
    // A file that cannot be loaded, or that leaves something behind, fails without a test that does.
    const alone = file.status === "failed" && file.assertionResults.every(({ status }) => status !== "failed");
    if (alone) outcomes.set(file.name, "failed");
    else outcomes.delete(file.name);
  }
}
const count = (...states) => [...outcomes.values()].filter((state) => states.includes(state)).length;
const failed = count("failed");
process.stdout.write(
  `${count("passed")} passed, ${failed} failed, ${count("skipped", "pending", "todo", "disabled")} skipped\n`,
);
process.exitCode = failed > 0 || incomplete ? 1 : 0;
