import { existsSync } from "node:fs";
import { explain, loadConfig } from "#config/load.ts";
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
  const count = loaded.problems.length;
  throw new PonteError(
    "config_invalid",
    `${path} has ${count === 1 ? "a problem" : `${count} problems`}:\n${explain(loaded.problems)}\n`,
  );
}
