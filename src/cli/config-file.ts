import { existsSync } from "node:fs";
import { type ConfigProblem, checkConfig, explain, loadConfig } from "#config/load.ts";
import type { Config } from "#config/schema.ts";
import { PonteError } from "#core/error.ts";

const USUAL_PATH = "config/ponte.yaml";

/** The file that is meant, or undefined when there is none and none was named. */
export function configPath(named: string | undefined): string | undefined {
  const path = named ?? process.env["PONTE_CONFIG"];
  if (path !== undefined && path !== "") return path;
  return existsSync(USUAL_PATH) ? USUAL_PATH : undefined;
}

/** Reads it, or throws PonteError `config_invalid` with every problem, a line each. */
export function readConfig(path: string): Config {
  const loaded = loadConfig(path, process.env);
  if (loaded.ok) return loaded.config;
  throw invalid(path, loaded.problems);
}

/** The defaults, with what the environment sets: for where there is no file. Throws like `readConfig`. */
export function readEnvironment(): Config {
  const checked = checkConfig({}, process.env);
  if (checked.ok) return checked.config;
  throw invalid("The environment", checked.problems);
}

function invalid(what: string, problems: readonly ConfigProblem[]): PonteError {
  const count = problems.length === 1 ? "a problem" : `${problems.length} problems`;
  return new PonteError("config_invalid", `${what} has ${count}:\n${explain(problems)}\n`);
}
