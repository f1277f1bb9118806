import { describe, expect, test } from "vitest";
import { createLog } from "#src/log.ts";
import { prettyLine } from "#src/log-pretty.ts";
import { collectLog } from "#test/support/log.ts";

const PHONE = "5511987654321";
const WACID =
  "wacid.HBgNNTUxMTk4NzY1NDMyMRUCABIYIEFDRDg5NzlENzcyODI2QUU2RTRBNjM1NzQxMzQ4OEVFHBgLMTU1NTE0NDAwMDAVAgAVCgA=";

/** None of these may be found in a log, wherever it was put. */
const secrets = {
  token: "EAAGm0PX4ZCpsBO7xQZDZD",
  bearer: "Qk1rT3BlblNlc2FtZQ",
  password: "correct-horse",
  icePwd: "asd88fgpdd777uzjYhagZg",
  inline: "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR",
  response: "0123456789abcdef0123456789abcdef",
  nonce: "84f1c1ae6cbe5ua9c8e88dfa3ecm3459",
  wacid: WACID,
  phone: PHONE,
};

const forms: Readonly<Record<keyof typeof secrets, string>> = {
  token: secrets.token,
  bearer: `Authorization: Bearer ${secrets.bearer}`,
  password: `postgres://ponte:${secrets.password}@db/ponte`,
  icePwd: `a=ice-ufrag:x\r\na=ice-pwd:${secrets.icePwd}\r\n`,
  inline: `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${secrets.inline}\r\n`,
  response: `Digest username="ponte", response="${secrets.response}"`,
  nonce: `Digest realm="pbx", nonce="${secrets.nonce}"`,
  wacid: `{"id":"${WACID}"}`,
  phone: `sip:${PHONE}@pbx`,
};

/** Every way by which something gets into a log line. */
const ways: Readonly<Record<string, (text: string, at: ReturnType<typeof collectLog>["log"]) => void>> = {
  message: (text, log) => log.info({}, text),
  field: (text, log) => log.info({ body: text }, "x"),
  "deep field": (text, log) => log.debug({ a: { b: [{ c: text }] } }, "x"),
  "name of a field": (text, log) => log.info({ [text]: 1 }, "x"),
  "json in json": (text, log) => log.debug({ body: JSON.stringify({ inner: JSON.stringify({ text }) }) }, "x"),
  error: (text, log) => log.error({ err: new Error(text) }, "x"),
  "cause of an error": (text, log) =>
    log.error({ err: new Error("a", { cause: new Error("b", { cause: text }) }) }, "x"),
  "property of an error": (text, log) => log.error({ err: Object.assign(new Error("a"), { body: text }) }, "x"),
  "error as the fields": (text, log) => log.error(new Error(text), "x"),
  child: (text, log) => log.child({ bound: text }).info({}, "x"),
  grandchild: (text, log) =>
    log
      .child({ a: 1 })
      .child({ bound: { deep: text } })
      .warn({}, "x"),
  toJSON: (text, log) => log.info({ thing: { toJSON: () => ({ text }) } }, "x"),
  map: (text, log) => log.info({ thing: new Map([["a", text]]) }, "x"),
  url: (text, log) => log.info({ url: new URL(`http://x/?q=${encodeURIComponent(text)}`) }, "x"),
};

describe.each(Object.keys(ways))("by way of %s", (way) => {
  test.each(Object.keys(secrets) as (keyof typeof secrets)[])("no %s leaks", (name) => {
    const collected = collectLog();
    ways[way]?.(forms[name], collected.log);
    expect(collected.lines()).toHaveLength(1);
    expect(collected.text()).not.toContain(secrets[name]);
  });
});

test("digits are read at debug and nowhere above, nor in what is bound", () => {
  const { log, lines } = collectLog();
  log.debug({ digit: "7" }, "x");
  log.info({ digit: "7" }, "x");
  log.child({ digits: "1234" }).debug({}, "x");
  expect(lines().map((line) => line["digit"] ?? line["digits"])).toEqual(["7", "[digits]", "[digits]"]);
});

test("numbers appear as configured", () => {
  const shown = (["masked", "full", "hidden"] as const).map((phoneNumbers) => {
    const { log, lines } = collectLog({ phoneNumbers });
    log.info({ caller_number: PHONE }, "x");
    return lines()[0]?.["caller_number"];
  });
  expect(shown).toEqual(["55***21", PHONE, "[number]"]);
});

test("a line has time, level, message and the fields of its children", () => {
  const { log, lines } = collectLog();
  log.child({ call_id: "c1" }).info({ from: "dialing", to: "bridged", ring_ms: 4210 }, "call transition");
  expect(lines()).toEqual([
    {
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      level: "info",
      call_id: "c1",
      from: "dialing",
      to: "bridged",
      ring_ms: 4210,
      msg: "call transition",
    },
  ]);
});

test("what is below the level is not written", () => {
  const { log, lines } = collectLog({ level: "warn" });
  log.info({}, "a");
  log.warn({}, "b");
  log.child({}).debug({}, "c");
  expect(lines().map((line) => line.msg)).toEqual(["b"]);
});

describe("for people", () => {
  const write = (use: (log: ReturnType<typeof createLog>) => void): string => {
    let text = "";
    use(
      createLog({
        level: "debug",
        pretty: { colours: false },
        redact: { phoneNumbers: "masked" },
        destination: { write: (line) => (text += line) },
      }),
    );
    return text;
  };

  test("a line is one line, fields behind the message", () => {
    expect(
      write((log) => log.child({ call_id: "c 1" }).info({ ring_ms: 4210, to: "bridged" }, "call transition")),
    ).toMatch(/^\d\d:\d\d:\d\d\.\d{3} INFO {2}call transition {2}call_id="c 1" ring_ms=4210 to=bridged\n$/);
  });

  test("an error shows its causes, and its stack below when a person should look", () => {
    const err = new Error("cannot dial", { cause: new Error("refused") });
    expect(write((log) => log.warn({ err }, "x"))).toMatch(/^\S+ WARN {2}x {2}err="cannot dial ← refused"\n$/);
    expect(write((log) => log.error({ err }, "x"))).toMatch(/\n {6}at .*log\.test\.ts/);
  });

  test("control characters from outside do not reach the terminal", () => {
    const evil = "a\u001b]0;title\u0007\nfake line \u009b2J";
    const text = write((log) => log.info({ [evil]: evil }, evil));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    expect(text.match(/\n/g)).toHaveLength(1);
  });

  test("what is not JSON passes", () => {
    expect(prettyLine("hello\n", false)).toBe("hello\n");
  });
});
