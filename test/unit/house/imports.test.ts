import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const source = fileURLToPath(new URL("../../../src", import.meta.url));

/**
 * Who may import whom. `core` knows nobody; edges know the core, the engine and the router, never each other. `sandbox` plays the
 * outside world, so it may use the media building blocks and the SIP wrapper, but nothing of ponte may import it except the
 * command line. Files directly in `src/` join the parts.
 */
const may: Record<string, readonly string[]> = {
  core: [],
  engine: ["core"],
  router: ["core", "engine"],
  whatsapp: ["core", "engine", "router"],
  wpp: ["core", "engine", "router"],
  sip: ["core", "engine"],
  "sip-agent": [],
  media: ["core", "engine"],
  store: ["core", "engine", "router"],
  http: ["core", "engine", "router"],
  pages: [],
  sandbox: ["core", "media", "sip", "sip-agent"],
  config: ["core"],
  cli: ["core", "engine", "router", "store", "sandbox", "config", "src"],
  src: [
    "core",
    "engine",
    "router",
    "config",
    "whatsapp",
    "wpp",
    "sip",
    "sip-agent",
    "media",
    "store",
    "http",
    "sandbox",
  ],
};

/** Folders of `core` must not reach the outside: these modules are sockets, clocks, files, randomness or processes. */
const impure = /^(node:|postgres|fastify|pino|ws|werift|drachtio-srf|libopus-wasm)/;

function files(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name));
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, "utf8");
  return [...text.matchAll(/(?:from|import)\s*\(?\s*["']([^"']+)["']/g)].map((match) => match[1] ?? "");
}

test("every folder imports only what the table allows", () => {
  const broken: string[] = [];
  for (const file of files(source)) {
    const path = relative(source, file);
    const folder = path.includes("/") ? path.slice(0, path.indexOf("/")) : "src";
    for (const wanted of importsOf(file)) {
      const target = /^#([a-z-]+)\//.exec(wanted)?.[1];
      if (wanted.startsWith("../")) broken.push(`${path}: ${wanted} (use #folder/… instead of ../)`);
      if (target !== undefined && target !== folder && !may[folder]?.includes(target))
        broken.push(`${path}: ${wanted}`);
      if (folder === "core" && impure.test(wanted)) broken.push(`${path}: ${wanted} (core does no I/O)`);
    }
  }
  expect(broken).toEqual([]);
});

test("every folder of src is in the table", () => {
  const folders = readdirSync(source, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(folders.map((entry) => entry.name).filter((name) => !(name in may))).toEqual([]);
});
