import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { configurationTable, exampleFile } from "#config/docs.ts";
import { explain, parseConfig } from "#config/load.ts";

const whole = `
calling: { enabled: true, trunk: office }
meta: { access_token: t, app_secrets: [s], verify_token: v }
channels: [{ phone_number_id: "436666719526789" }]
trunks: [{ name: office, host: 192.0.2.10 }]
`;

function problemsOf(text: string, env: Record<string, string> = {}): string[] {
  const loaded = parseConfig(text, env);
  return loaded.ok ? [] : explain(loaded.problems).split("\n");
}

describe("a configuration", () => {
  test("may be empty: calling is off then", () => {
    const loaded = parseConfig("", {});
    expect(loaded.ok && loaded.config.calling.enabled).toBe(false);
  });

  test("gets the defaults of its sections and of its lists", () => {
    const loaded = parseConfig(whole, {});
    if (!loaded.ok) throw new Error(explain(loaded.problems));
    expect(loaded.config.trunks[0]).toMatchObject({ port: 5060, transport: "udp", codecs: ["opus", "PCMU", "PCMA"] });
    expect(loaded.config.calling.ring_timeout_ms).toBe(25_000);
  });

  test("takes secrets from the environment, over the file", () => {
    const loaded = parseConfig(whole, { META_ACCESS_TOKEN: "other", META_APP_SECRET: "a, b", PONTE_HTTP_PORT: "9000" });
    expect(loaded.ok && loaded.config.meta).toMatchObject({ access_token: "other", app_secrets: ["a", "b"] });
    expect(loaded.ok && loaded.config.http.port).toBe(9000);
  });

  test("names every problem at once", () => {
    const found = problemsOf(`
http: { prot: 8080, host: "" }
trunks: [{ nme: office, host: 192.0.2.10, port: 70000, transport: tls }]
calling: { enabled: sometimes }
`);
    expect(found).toEqual(
      expect.arrayContaining([
        "http.prot: is not a key of the configuration. Did you mean port?",
        expect.stringMatching(/^http\.host: must not have fewer than 1 characters, but is ""/),
        "trunks[0].nme: is not a key of the configuration. Did you mean name?",
        "trunks[0].name: is missing.",
        "trunks[0].port: must be <= 65535, but is 70000.",
        'trunks[0].transport: must be one of udp, tcp, but is "tls".',
        'calling.enabled: must be boolean, but is "sometimes".',
      ]),
    );
    expect(found).toHaveLength(7);
  });

  test("names what keys demand of each other beside unknown keys and wrong values", () => {
    const found = problemsOf(`
calling: { enabled: true, max_cals: 3, ring_timeout_ms: 1 }
`);
    expect(found).toEqual(
      expect.arrayContaining([
        expect.stringContaining("calling.max_cals: is not a key"),
        expect.stringContaining("calling.ring_timeout_ms: must be >= 500"),
        expect.stringContaining("channels: is empty"),
      ]),
    );
  });

  test.each([
    ["calling: { enabled: true }", "channels: is empty, but calling.enabled is true."],
    [whole.replace("access_token: t, ", ""), "meta.access_token: is missing, and not every channel has its own."],
    [whole.replace("app_secrets: [s], ", ""), "meta.app_secrets: is empty"],
    [whole.replace("trunk: office", "trunk: home"), "There is no trunk home."],
    [whole.replace("name: office", "name: office, kind: pstn"), "trunks[0].kind: pstn is refused"],
    ["media: { public_address: [ponte.example] }", "media.public_address[0]: ponte.example is not an IP address."],
    ["sip: { engine: 'drachtio://10.0.0.1:9022' }", "sip.secret: is missing"],
    ["wpp: { base_url: 'http://10.0.0.9' }", "wpp.secret: is missing"],
    ["wpp: { base_url: gateway, secret: s }", "wpp.base_url: must begin with http:// or https://."],
    ["database: { secret_key: short }", "database.secret_key: must have at least 16 characters."],
    ["sip: { secret: 'a|b' }", "sip.secret: must not contain |."],
    ["http: { port: 1 }\nhttp: { port: 2 }", "Map keys must be unique"],
    ["- a\n- b", "The file must be a map of sections"],
    ["http: { port: 80", "Flow map in block collection"],
  ])("%#: is refused with a sentence that names the key", (text, sentence) => {
    expect(problemsOf(text).join("\n")).toContain(sentence);
  });

  test("never shows the value of a secret", () => {
    expect(problemsOf("meta: { access_token: [EAAsecret] }").join()).not.toContain("EAAsecret");
  });
});

describe("the documents", () => {
  const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");

  test("the example file is that of the schema", () => {
    expect(read("config/ponte.example.yaml")).toBe(exampleFile());
  });

  test("the example file is a configuration", () => {
    expect(problemsOf(exampleFile())).toEqual([]);
  });

  test("the README has the table of the schema", () => {
    expect(read("README.md")).toContain(configurationTable());
  });
});
