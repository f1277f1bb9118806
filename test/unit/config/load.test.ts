import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { configurationTable, exampleFile } from "#config/docs.ts";
import { checkConfig, explain, parseConfig } from "#config/load.ts";
import { schema } from "#config/schema.ts";
import { peerList } from "#sip-agent/transport/address.ts";

const whole = `
calling: { enabled: true, trunk: office }
meta: { access_token: t, app_secrets: [s], verify_token: v }
channels: [{ phone_number_id: "436666719526789" }]
trunks: [{ name: office, host: 192.0.2.10 }]
sip: { bind_address: 192.0.2.1 }
media: { sip_bind_address: 192.0.2.1 }
`;

function problemsOf(text: string, env: Record<string, string> = {}): string[] {
  const loaded = parseConfig(text, env);
  return loaded.ok ? [] : explain(loaded.problems).split("\n");
}

/** Sections and lists, and the keys in them: `http`, `http.port`, `trunks.host`. */
const keys = Object.entries(schema.properties).flatMap(([name, child]) => [
  name,
  ...Object.keys("items" in child ? child.items.properties : child.properties).map((key) => `${name}.${key}`),
]);

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

  test("of a second sandbox comes from the environment, which it has no file beside", () => {
    const second = { PONTE_HTTP_PORT: "8090", PONTE_SANDBOX_PORT: "8091", PONTE_SANDBOX_HOST: "::1" };
    const ports = [{}, second].map((env) => {
      const checked = checkConfig({}, env);
      return checked.ok && { http: checked.config.http.port, page: checked.config.sandbox };
    });
    expect(ports).toEqual([
      { http: 8080, page: { host: "127.0.0.1", port: 8081 } },
      { http: 8090, page: { host: "::1", port: 8091 } },
    ]);
  });

  test("says which variable of the environment is wrong", () => {
    const env = { PONTE_HTTP_PORT: "web", PONTE_SECRET_KEY: "short", PONTE_PUBLIC_ADDRESS: "192.0.2.1,here" };
    expect(problemsOf("http: { port: 80 }\nlog: { level: loud }", env)).toEqual([
      'http.port: must be integer, but is "web". It comes from PONTE_HTTP_PORT.',
      expect.stringMatching(/^log\.level: .*"loud"\.$/),
      "media.public_address[1]: here is not an IP address. It comes from PONTE_PUBLIC_ADDRESS.",
      "database.secret_key: must have at least 16 characters. It comes from PONTE_SECRET_KEY.",
    ]);
  });

  test("names every problem at once", () => {
    const found = problemsOf(`
http: { prot: 8080, host: "" }
trunks: [{ nme: office, host: pbx.example, port: 70000, transport: tls }]
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

  test("names what keys demand of each other beside a key of the wrong type", () => {
    const found = problemsOf(`
calling: { enabled: true, trunk: home, max_calls: many, answer_budget_ms: 60000 }
meta: { verify_token: 5 }
channels: [{ phone_number_id: "1", trunk: 7 }, { phone_number_id: "1" }]
trunks: [{ name: office, host: 127.0.0.1, port: sip, kind: pstn }]
`);
    expect(found.toSorted()).toEqual([
      "calling.answer_budget_ms: must be less than calling.stale_after_ms.",
      'calling.max_calls: must be integer, but is "many".',
      "calling.trunk: There is no trunk home.",
      "channels: Two channels have the phone_number_id 1.",
      "channels[0].trunk: must be string, but is 7.",
      "meta.access_token: is missing, and not every channel has its own. Set META_ACCESS_TOKEN.",
      "meta.app_secrets: is empty: webhooks could not be verified. Set META_APP_SECRET.",
      "meta.verify_token: must be string, but is something else.",
      "trunks[0].kind: pstn is refused: Meta's terms forbid PSTN on any leg of a WhatsApp call. Set allow_pstn: true if you may.",
      'trunks[0].port: must be integer, but is "sip".',
    ]);
  });

  test.each(keys)("judges nothing else by the wrong value of %s", (key) => {
    const raw = parse(whole) as Record<string, unknown>;
    const [section = "", name] = key.split(".");
    if (name === undefined) raw[section] = "wrong";
    else if (Array.isArray(raw[section])) Reflect.set(raw[section][0] as object, name, { wrong: true });
    else raw[section] = { ...(raw[section] as object | undefined), [name]: { wrong: true } };
    const checked = checkConfig(raw, {});
    const found = checked.ok ? [] : checked.problems.map((problem) => problem.key.replace(/\[\d+\]/g, ""));
    expect(found).not.toEqual([]);
    expect(found.filter((each) => each !== key && !each.startsWith(`${key}.`))).toEqual([]);
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
    ["wpp: { base_url: gateway, secret: s }", "wpp.base_url: must be an address that begins with http"],
    ["wpp: { base_url: 'http://a b', secret: s }", "wpp.base_url: must be an address that begins with http"],
    ["wpp: { webhook_url: 'ftp://ponte.example' }", "wpp.webhook_url: must be an address that begins with http"],
    ["meta: { graph_url: not a url }", "meta.graph_url: must be an address that begins with http"],
    ["meta: { graph_version: v3.0 }", "meta.graph_version: must be at least v17.0, but is v3.0."],
    ["http: { api_key: x }", "http.api_key: must have at least 16 characters."],
    ["database: { secret_key: short }", "database.secret_key: must have at least 16 characters."],
    ["sip: { secret: 'a|b' }", "sip.secret: must not contain |."],
    ["http: { port: 1 }\nhttp: { port: 2 }", "Line 2, column 1: this key is here twice."],
    ["- a\n- b", "The file must be a map of sections"],
    ["http: { port: 80", "Line 1, column 17: the indentation does not fit, or a bracket is not closed."],
  ])("%#: is refused with a sentence that names the key", (text, sentence) => {
    expect(problemsOf(text).join("\n")).toContain(sentence);
  });

  test.each([
    ["sip: { bind_address: nonsense }", ["sip.bind_address: nonsense is not an IP address."]],
    ["sip: { bind_address: '::0' }", ["sip.bind_address: must be written 0.0.0.0 or ::, but is ::0."]],
    ["sip: { public_address: 0.0.0.0 }", [expect.stringMatching(/^sip\.public_address: 0\.0\.0\.0 is no address/)]],
    ["media: { sip_bind_address: nonsense }", ["media.sip_bind_address: nonsense is not an IP address."]],
    ["media: { sip_bind_address: '::ffff:0:0' }", [expect.stringContaining("must be written 0.0.0.0 or ::")]],
    ["media: { sip_address: pbx.local }", ["media.sip_address: pbx.local is not an IP address."]],
    ["media: { sip_address: 0.0.0.0 }", [expect.stringMatching(/^media\.sip_address: 0\.0\.0\.0 is no address/)]],
    ["media: { sip_address: '::0' }", [expect.stringMatching(/^media\.sip_address: ::0 is no address/)]],
    ["media: { bind_address: [nonsense] }", ["media.bind_address[0]: nonsense is not an IP address."]],
    [
      "media: { bind_address: [10.0.0.1, '::1', 10.0.0.2] }",
      [expect.stringMatching(/^media\.bind_address: takes one/)],
    ],
    ["media: { public_address: ['::'] }", [expect.stringMatching(/^media\.public_address\[0\]: :: is no address/)]],
    [
      "media: { public_address: [192.0.2.1, 192.0.2.2] }",
      ["media.public_address: takes one IPv4 and one IPv6 address at most."],
    ],
    [
      "media: { sip_bind_address: 0.0.0.0, bind_address: [0.0.0.0, '::'], public_address: [192.0.2.1, '2001:db8::1'] }",
      [],
    ],
  ])("takes addresses only where they can be used: %s", (text, problems) => {
    expect(problemsOf(text)).toEqual(problems);
  });

  test.each(["pbx.local", "10.0.0.0/33", "2001:db8::/129", "10.0.0.0/", "10.0.0.0/8/8", "10.0.0.0/a"])(
    "lets nobody in by %j, and names it",
    (entry) => {
      expect(() => peerList([entry])).toThrow();
      const [peers, proxies, ...more] = problemsOf(
        JSON.stringify({ sip: { peers: ["10.0.0.1", entry] }, http: { trusted_proxies: [entry] } }),
      );
      expect(more).toEqual([]);
      expect(peers).toContain(`sip.peers[1]: ${entry}`);
      expect(proxies).toContain(`http.trusted_proxies[0]: ${entry}`);
    },
  );

  test("lets addresses and networks in, as the SIP agent and the HTTP server take them", () => {
    const entries = ["10.0.0.9", "10.0.0.0/8", "2001:db8::1", "2001:db8::/32"];
    const both = {
      sip: { peers: [...entries, "0.0.0.0/0", "::/0"] },
      http: { trusted_proxies: [...entries, "loopback"] },
    };
    expect(() => peerList(both.sip.peers)).not.toThrow();
    expect(problemsOf(JSON.stringify(both))).toEqual([]);
    expect(problemsOf("http: { trusted_proxies: [0.0.0.0/0] }").join()).toContain(
      "http.trusted_proxies[0]: 0.0.0.0/0 is",
    );
  });

  describe("that leaves ponte on the loopback address", () => {
    const trunk = (host: string): string =>
      `trunks: [{ name: near, host: 127.0.0.1 }, { name: office, host: "${host}" }]`;

    test("is refused with a PBX on another machine, and says what to set", () => {
      const says = (key: string): string =>
        `${key}: is 127.0.0.1, where trunks[1].host (192.0.2.10) cannot reach it. Set it to this machine's address in the network of the PBX, or to 0.0.0.0.`;
      expect(problemsOf(trunk("192.0.2.10"))).toEqual([says("sip.bind_address"), says("media.sip_bind_address")]);
      expect(problemsOf(trunk("2001:db8::10")).join()).toContain("or to ::.");
    });

    test.each(["127.0.0.1", "127.8.0.1", "::1", "localhost", "pbx.example"])("is right with a PBX at %s", (host) => {
      expect(problemsOf(trunk(host))).toEqual([]);
    });

    test("is right for SIP when a drachtio-server speaks it", () => {
      const sip = "sip: { engine: 'drachtio://10.0.0.1:9022', secret: s }";
      expect(problemsOf(`${trunk("192.0.2.10")}\n${sip}\nmedia: { sip_bind_address: 192.0.2.1 }`)).toEqual([]);
    });
  });

  test.each([
    "meta: { access_token: [EAAsecret] }",
    "meta: { access_token: { EAAsecret: } }",
    "meta: { access_token:EAAsecret }",
    "meta: [access_token: EAAsecret]",
    "meta:\n  access_token:EAAsecret",
    "meta:\n  access_token:EAAsecret\n  verify_token: v",
    'meta:\n  access_token: "EAAsecret',
    'meta:\n  access_token: "EAA" EAAsecret',
    'meta:\n  access_token: "EAAsecret\\q"',
    "meta:\n  access_token: @EAAsecret",
    "meta:\n  access_token: %EAAsecret",
    "meta:\n  access_token: *EAAsecret",
    "meta:\n  access_token: &EAAsecret &EAAsecret x",
    "meta:\n  access_token: !EAAsecret x",
    "meta:\n  access_token: !!EAAsecret x",
    "meta:\n  access_token: |EAAsecret\n    x",
    "meta:\n  access_token: EAAsecret: x",
    "meta:\n  access_token: [EAAsecret",
    "meta:\n  access_token: {EAAsecret: 1, EAAsecret: 2}",
    "meta:\n\taccess_token: EAAsecret",
    "meta:\n  access_token: v\n EAAsecret",
    "meta:\n  access_token: v\n]EAAsecret",
    "%EAAsecret\n---\nmeta: {}\n...\n%EAAsecret",
    "trunks: [EAAsecret]",
    "EAAsecret",
  ])("is never shown where a secret may stand: %j", (text) => {
    expect(problemsOf(text).join("\n")).not.toContain("EAAsecret");
  });

  test.each([
    [
      "meta:\n  verify_token: v\n  access_token: @x",
      "Line 3, column 17: a value that begins with this character must be quoted.",
    ],
    ["meta:\n  access_token: *x", "Line 2, column 17: a value that begins with * or & must be quoted."],
    ["meta:\n  verify_token: v\n  access_token:x\n  app_secrets: [s]", "Line 3, column 3: "],
    [
      "meta: { access_token:x }",
      "meta.access_token…: is not a key of the configuration. Is a space missing behind a colon?",
    ],
    ["log: &log { level: *log }", "log.level: "],
    [
      `log: &a [x]\nhttp: &b [${"*a,".repeat(200)}]\nsip: [${"*b,".repeat(200)}]`,
      "There are too many aliases (*name).",
    ],
    ["meta: 5", "meta: must be object, but is a number."],
  ])("that cannot be read says where, and what is wrong: %j", (text, sentence) => {
    expect(problemsOf(text).join("\n")).toContain(sentence);
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
