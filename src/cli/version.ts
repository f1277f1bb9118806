import { readFileSync } from "node:fs";

function versionOf(manifest: unknown): string {
  const version = typeof manifest === "object" && manifest !== null ? Reflect.get(manifest, "version") : undefined;
  return typeof version === "string" ? version : "unknown";
}

/** Of this build. */
export const version = versionOf(JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")));
