import { existsSync, readFileSync, statSync } from "node:fs";
import { isIPv4 } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { parseConfig } from "#config/load.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), "utf8");

interface Service {
  readonly image?: string;
  readonly build?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly networks?: Readonly<Record<string, { readonly ipv4_address: string }>>;
  readonly depends_on?: Readonly<Record<string, unknown>>;
}
interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly networks: { readonly house: { readonly ipam: { readonly config: readonly { readonly subnet: string }[] } } };
}

const compose = parse(read("docker-compose.yml")) as Compose;
const services = Object.entries(compose.services);
const addressOf = (name: string): string | undefined => compose.services[name]?.networks?.["house"]?.ipv4_address;
/** What .env gives once it is filled in. */
const filled = {
  DATABASE_URL: "postgres://x",
  DRACHTIO_SECRET: "x",
  PONTE_API_KEY: "x".repeat(48),
  PONTE_PUBLIC_ADDRESS: "203.0.113.7",
};

describe("Dockerfile", () => {
  const lines = read("Dockerfile")
    .replace(/\\\n\s*/g, "")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
  const of = (word: string): string[] =>
    lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1).trim());

  test("copies only what exists and is not ignored", () => {
    const allowed = read(".dockerignore")
      .split("\n")
      .filter((line) => line.startsWith("!"))
      .map((line) => line.slice(1));
    const copied = of("COPY")
      .filter((line) => !line.startsWith("--from"))
      .flatMap((line) => line.split(/\s+/).slice(0, -1));
    expect(copied.filter((path) => !existsSync(join(root, path)))).toEqual([]);
    expect(copied.toSorted()).toEqual(expect.arrayContaining(["src", "package-lock.json"]));
    expect(copied.filter((path) => !allowed.includes(path))).toEqual([]);
  });

  test("runs the daemon on the Node that ponte needs, as somebody who is not root", () => {
    const { engines } = JSON.parse(read("package.json")) as { engines: { node: string } };
    const major = engines.node.replace(/\D/g, "");
    expect(new Set(of("FROM").map((line) => line.split(" ")[0]))).toEqual(new Set([`node:${major}-slim`]));
    expect(of("USER").at(-1)).toBe("node");
    expect(of("STOPSIGNAL")).toEqual(["SIGTERM"]);
    const [, program = ""] = JSON.parse(of("ENTRYPOINT")[0] ?? "[]") as string[];
    expect(existsSync(join(root, program))).toBe(true);
  });

  test("has a health check that is a program", () => {
    const command = /CMD (\[.*\])$/.exec(of("HEALTHCHECK")[0] ?? "")?.[1] ?? "";
    const [program, option, script = ""] = JSON.parse(command) as string[];
    expect([program, option]).toEqual(["node", "-e"]);
    expect(() => new Function(script)).not.toThrow();
    expect(script).toContain("/live");
  });

  test("asks for health at the port that is exposed, whatever the configuration file says", () => {
    const env = Object.fromEntries(
      of("ENV").flatMap((line) => [...line.matchAll(/(\w+)=(\S+)/g)].map((match) => [match[1] ?? "", match[2] ?? ""])),
    );
    const loaded = parseConfig("http: { host: 192.0.2.1, port: 9999 }", env);
    if (!loaded.ok) throw new Error("not right");
    const { host, port } = loaded.config.http;
    expect(host).toBe("0.0.0.0");
    expect(of("EXPOSE")[0]).toContain(`${port}/tcp`);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the script's own.
    expect(of("HEALTHCHECK")[0]).toContain("http://127.0.0.1:${process.env.PONTE_HTTP_PORT || 8080}/live");
    expect(env["PONTE_HTTP_PORT"]).toBe(String(port));
  });
});

describe("docker-compose.yml", () => {
  test("has the four parts, and mounts only files that exist", () => {
    expect(Object.keys(compose.services)).toEqual(["postgres", "drachtio", "ponte", "asterisk"]);
    const sources = services.flatMap(([, { volumes }]) => volumes ?? []).map((volume) => volume.split(":")[0] ?? "");
    for (const source of sources) {
      if (source.startsWith("./")) expect([source, statSync(join(root, source)).isFile()]).toEqual([source, true]);
      else expect(Object.keys(compose.volumes)).toContain(source);
    }
  });

  test("asks for every secret, has none itself, and .env.example names them all", () => {
    const used = [...read("docker-compose.yml").matchAll(/\$\{(\w+)/g)].map((match) => match[1] ?? "");
    const offered = [...read(".env.example").matchAll(/^(\w+)=(.*)$/gm)];
    expect(offered.map((match) => match[1]).toSorted()).toEqual([...new Set(used)].toSorted());
    expect(offered.map((match) => match[2]).join("")).toBe("");
    const secrets = services
      .flatMap(([, { environment }]) => Object.entries(environment ?? {}))
      .filter(([name]) => /SECRET|PASSWORD|TOKEN|KEY|URL/.test(name));
    expect(secrets.filter(([, value]) => !value.includes("${"))).toEqual([]);
    expect(read(".gitignore").split("\n")).toContain(".env");
  });

  test("gives each part an address of its own in the network", () => {
    const subnet = compose.networks.house.ipam.config[0]?.subnet ?? "";
    const prefix = subnet.replace(/0\/24$/, "");
    const addresses = services.map(([name]) => addressOf(name) ?? "");
    expect(new Set(addresses).size).toBe(services.length);
    expect(addresses.every((address) => isIPv4(address) && address.startsWith(prefix))).toBe(true);
  });
});

describe("config/compose/ponte.yaml", () => {
  const loaded = parseConfig(read("config/compose/ponte.yaml"), filled);

  test("is a right configuration that takes no calls yet", () => {
    expect(loaded).toMatchObject({ ok: true, config: { calling: { enabled: false } } });
  });

  test("becomes one that takes calls with a channel and Meta's secrets", () => {
    const text = read("config/compose/ponte.yaml")
      .replace("enabled: false", "enabled: true")
      .replace("# channels:", "channels:")
      .replace("#   - phone_number_id", "  - phone_number_id");
    const meta = { META_ACCESS_TOKEN: "x", META_APP_SECRET: "x", META_VERIFY_TOKEN: "x" };
    expect(parseConfig(text, { ...filled, ...meta })).toMatchObject({ ok: true, config: { channels: [{}] } });
  });

  test("leads to the other containers and to the published ports", () => {
    if (!loaded.ok) throw new Error("not right");
    const { sip, media, trunks, http } = loaded.config;
    expect(trunks[0]?.host).toBe(addressOf("asterisk"));
    expect(sip.engine).toBe("drachtio://drachtio:9022");
    expect(media.sip_bind_address).toBe(addressOf("ponte"));
    expect(compose.services["ponte"]?.ports).toEqual([
      `127.0.0.1:${http.port}:${http.port}/tcp`,
      `${media.public_port}-${media.public_port_max}:${media.public_port}-${media.public_port_max}/udp`,
    ]);
  });
});

describe("config/drachtio/drachtio.conf.xml", () => {
  const xml = read("config/drachtio/drachtio.conf.xml");

  test("is well-formed XML", () => {
    expect(unbalanced(xml)).toEqual([]);
    expect(unbalanced("<a><b></a>")).not.toEqual([]);
    expect(unbalanced("<a>&</a>")).not.toEqual([]);
    expect(unbalanced("<a/><b/>")).not.toEqual([]);
  });

  test("listens where ponte connects", () => {
    expect(xml).toMatch(/<admin port="9022" /);
  });
});

/** What keeps a text from being well-formed: tags that do not pair, more than one root, bare ampersands, `--` in comments. */
function unbalanced(xml: string): string[] {
  const problems: string[] = [];
  for (const [, comment = ""] of xml.matchAll(/<!--([\s\S]*?)-->/g))
    if (comment.includes("--")) problems.push("-- in a comment");
  const text = xml.replace(/<!--[\s\S]*?-->/g, "");
  if (/&(?!\w+;|#\d+;)/.test(text)) problems.push("bare &");
  const open: string[] = [];
  let roots = 0;
  for (const [, close, name = "", attributes = "", empty] of text.matchAll(
    /<(\/?)([\w-]+)((?:\s+[\w-]+="[^"<]*")*)\s*(\/?)>/g,
  )) {
    if (close === "/") {
      if (open.pop() !== name || attributes !== "") problems.push(`</${name}>`);
      continue;
    }
    if (open.length === 0) roots += 1;
    if (empty !== "/") open.push(name);
  }
  if (/[<>]/.test(text.replace(/<\/?[\w-]+(?:\s+[\w-]+="[^"<]*")*\s*\/?>/g, ""))) problems.push("stray < or >");
  if (roots !== 1) problems.push(`${roots} roots`);
  return [...problems, ...open.map((name) => `<${name}> is not closed`)];
}

describe("config/asterisk", () => {
  const pjsip = sections(read("config/asterisk/pjsip.conf"));
  const ofType = (type: string) => pjsip.filter(({ settings }) => settings.get("type")?.[0] === type);

  test("every endpoint has the address of record, identity and context that it names", () => {
    const contexts = sections(read("config/asterisk/extensions.conf")).map(({ name }) => name);
    expect(ofType("endpoint")).toHaveLength(1);
    for (const { name, settings } of ofType("endpoint")) {
      expect(ofType("aor").map((aor) => aor.name)).toContain(settings.get("aors")?.[0]);
      expect(ofType("identify").flatMap((identify) => identify.settings.get("endpoint"))).toContain(name);
      expect(contexts).toContain(settings.get("context")?.[0]);
    }
  });

  test("trusts exactly the SIP engine and ponte, and calls the SIP engine", () => {
    expect(ofType("identify")[0]?.settings.get("match")).toEqual([addressOf("drachtio"), addressOf("ponte")]);
    expect(ofType("aor")[0]?.settings.get("contact")).toEqual([`sip:${addressOf("drachtio")}:5060`]);
  });

  test("has the number that ponte dials", () => {
    const loaded = parseConfig(read("config/compose/ponte.yaml"), filled);
    const target = loaded.ok ? loaded.config.calling.target : undefined;
    expect(read("config/asterisk/extensions.conf")).toContain(`exten => ${target},1,`);
  });
});

interface Section {
  readonly name: string;
  readonly settings: Map<string, string[]>;
}

/** Sections of an Asterisk configuration; a key may come more than once. */
function sections(text: string): Section[] {
  const found: Section[] = [];
  for (const line of text.split("\n")) {
    const head = /^\[([^\]]+)\]/.exec(line)?.[1];
    if (head !== undefined) found.push({ name: head, settings: new Map() });
    const [, key = "", value = ""] = /^([\w-]+)\s*=>?\s*(.*)$/.exec(line) ?? [];
    const settings = found.at(-1)?.settings;
    if (key !== "") settings?.set(key, [...(settings.get(key) ?? []), value.trim()]);
  }
  return found;
}
