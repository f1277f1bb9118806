import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, statSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const sources = fileURLToPath(new URL("app", import.meta.url));

/** Where the daemon looks for the built pages. */
export const pagesFolder = fileURLToPath(new URL("../../dist/pages", import.meta.url));

/** Builds the pages when they are missing or older than their sources; takes about a second. Returns their folder. */
export async function buildPages(): Promise<string> {
  if (!isOld()) return pagesFolder;
  const { build } = await import("vite");
  // Built beside and moved, so that whoever serves them never sees half of them.
  const made = `${pagesFolder}-${randomBytes(4).toString("hex")}`;
  await build({
    root: sources,
    configFile: false,
    logLevel: "warn",
    oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
    build: {
      outDir: made,
      emptyOutDir: true,
      target: "es2022",
      // Everything is a file of its own: the policy of the pages allows nothing inline.
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
    },
  });
  await rm(pagesFolder, { recursive: true, force: true });
  await rename(made, pagesFolder);
  return pagesFolder;
}

function isOld(): boolean {
  const index = join(pagesFolder, "index.html");
  if (!existsSync(index)) return true;
  const built = statSync(index).mtimeMs;
  return readdirSync(sources).some((name) => statSync(join(sources, name)).mtimeMs > built);
}

if (import.meta.main) await buildPages();
