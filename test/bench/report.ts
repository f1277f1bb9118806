import { mkdir, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, release } from "node:os";

/** One measured figure. `must` is what the design asks for. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly must?: { readonly atMost?: number; readonly atLeast?: number };
  readonly note?: string;
}

/** A benchmark: a name to choose it by, and a run that measures everything in one go, so that its ratios mean something. */
export interface Bench {
  readonly name: string;
  readonly says: string;
  run(log: (line: string) => void): Promise<readonly Figure[]>;
}

export function isMet({ value, must }: Figure): boolean {
  return value <= (must?.atMost ?? Number.POSITIVE_INFINITY) && value >= (must?.atLeast ?? Number.NEGATIVE_INFINITY);
}

export interface Outcome {
  readonly bench: Bench;
  readonly figures: readonly Figure[];
}

/** Writes `bench.json` and `bench.md` into a folder, and returns the Markdown. */
export async function writeReport(folder: string, outcomes: readonly Outcome[]): Promise<string> {
  const machine = {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    kernel: release(),
    node: process.version,
    at: new Date().toISOString(),
  };
  const results = outcomes.map(({ bench, figures }) => ({ bench: bench.name, figures }));
  const markdown = markdownOf(machine, outcomes);
  await mkdir(folder, { recursive: true });
  await writeFile(`${folder}/bench.json`, `${JSON.stringify({ machine, results }, undefined, 2)}\n`);
  await writeFile(`${folder}/bench.md`, markdown);
  return markdown;
}

function markdownOf(machine: Readonly<Record<string, string | number>>, outcomes: readonly Outcome[]): string {
  const facts = Object.entries(machine).map(([name, value]) => `${name} ${value}`);
  const lines = ["# Benchmarks", "", facts.join(" · "), ""];
  for (const { bench, figures } of outcomes) {
    lines.push(`## ${bench.name}`, "", bench.says, "", "| figure | value | must | |", "|---|---|---|---|");
    for (const figure of figures) {
      const { name, value, unit, must, note = "" } = figure;
      const wanted =
        must?.atMost !== undefined ? `≤ ${must.atMost}` : must?.atLeast !== undefined ? `≥ ${must.atLeast}` : "";
      const verdict = must === undefined ? note : `${isMet(figure) ? "met" : "**not met**"} ${note}`;
      lines.push(`| ${name} | ${format(value)} ${unit} | ${wanted} | ${verdict.trim()} |`);
    }
    lines.push("");
  }
  return lines.join("\n");
}

function format(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2);
}
