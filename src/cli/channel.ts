import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { renderUnicodeCompact } from "uqr";
import { PonteError } from "#core/error.ts";
import { isObject, parseJson, textAt } from "#core/json-read.ts";
import type { Command } from "./main.ts";

/** What a connection needs: the daemon's API, and somewhere to show the code. */
export interface ConnectOptions {
  /** `http://127.0.0.1:8080` */
  readonly url: string;
  readonly key: string;
  /** The gateway's name of the channel; the tenant's one when left out. */
  readonly channel?: string;
  readonly name?: string;
  /** Milliseconds. */
  readonly now: () => number;
  readonly pause: (ms: number) => Promise<unknown>;
  readonly show: (text: string) => void;
}

/** How often the state is asked for; a code lives for some 20 seconds. */
const LOOK_MS = 2_000;
/** Somebody has to find the phone. */
const PATIENCE_MS = 5 * 60_000;
const REQUEST_TIMEOUT_MS = 15_000;

/** `ponte channel connect`: shows the QR code in the terminal until the channel is connected. */
export const channel: Command = async (words) => {
  const { values, positionals } = readWords(words);
  const key = values.key ?? process.env["PONTE_API_KEY"];
  if (positionals[0] !== "connect" || positionals.length > 1)
    throw new PonteError("bad_option", "ponte channel connect [--url URL] [--key KEY] [--channel ID] [--name NAME]");
  if (key === undefined || key === "")
    throw new PonteError("bad_option", "an API key is needed: --key, or the environment's PONTE_API_KEY");
  const url = values.url ?? process.env["PONTE_URL"] ?? "http://127.0.0.1:8080";
  const options = { url, key, now: Date.now, pause, show: (text: string) => console.log(text) };
  return (await connect({ ...options, ...given("channel", values.channel), ...given("name", values.name) })) ? 0 : 1;
};

function readWords(words: readonly string[]) {
  const text = { type: "string" } as const;
  try {
    return parseArgs({
      args: [...words],
      allowPositionals: true,
      options: { url: text, key: text, channel: text, name: text },
    });
  } catch (cause) {
    throw new PonteError("bad_option", cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function given<K extends string>(key: K, value: string | undefined): { readonly [P in K]?: string } {
  return (value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: string };
}

/** True: it is connected. False: nobody scanned in time. Throws PonteError with the API's own words when it refuses. */
export async function connect(options: ConnectOptions): Promise<boolean> {
  const { now, show } = options;
  const wanted = { ...given("channel_id", options.channel), ...given("name", options.name) };
  const made = await ask(options, "POST", "/v1/channels", wanted);
  const path = `/v1/channels/${encodeURIComponent(textAt(made.body, "id", 64) ?? "")}`;
  const until = now() + PATIENCE_MS;
  let shown: string | undefined;
  while (now() < until) {
    const { body } = await ask(options, "POST", `${path}/refresh`);
    if (body["state"] === "connected") {
      const phone = textAt(body, "phone", 32);
      show(`Connected${phone === undefined ? "" : ` as +${phone}`}.`);
      if (body["webhook_configured"] !== true) show("The gateway does not know our webhook yet: set wpp.webhook_url.");
      return true;
    }
    const code = await ask(options, "GET", `${path}/qr`, undefined, ["qr_not_ready", "already_connected"]);
    const drawn = code.ok ? drawing(code.body, options.url) : undefined;
    if (drawn !== undefined && drawn !== shown) show(drawn);
    shown = drawn ?? shown;
    await options.pause(LOOK_MS);
  }
  show("Nobody has scanned the code. Run the command again.");
  return false;
}

/** Dark on light, with the quiet zone that cameras need. A gateway that gives a picture only shows it on the page. */
function drawing(code: Readonly<Record<string, unknown>>, url: string): string {
  const text = textAt(code, "text", 2_048);
  if (text === undefined) return `The gateway gives the code as a picture only: open ${url} and go to Channels.`;
  return `${renderUnicodeCompact(text, { border: 2, ecc: "L" })}\nOn the phone: WhatsApp > Linked devices > Link a device.`;
}

interface Answer {
  readonly ok: boolean;
  readonly body: Readonly<Record<string, unknown>>;
}

/** @param bearable codes of refusals that are answers. */
async function ask(
  { url, key }: ConnectOptions,
  method: "GET" | "POST",
  path: string,
  body?: object,
  bearable: readonly string[] = [],
): Promise<Answer> {
  const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  const headers = {
    authorization: `Bearer ${key}`,
    ...(body === undefined ? {} : { "content-type": "application/json" }),
  };
  const response = await fetch(url.replace(/\/+$/, "") + path, {
    method,
    headers,
    signal,
    redirect: "error",
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  }).catch((cause: unknown) => {
    throw new PonteError("unreachable", `there is no ponte at ${url}`, { cause });
  });
  const json = parseJson(await response.text());
  const answer = isObject(json) ? json : {};
  if (response.ok) return { ok: true, body: answer };
  const error = isObject(answer["error"]) ? answer["error"] : {};
  const code = textAt(error, "code", 64) ?? `http_${response.status}`;
  if (bearable.includes(code)) return { ok: false, body: answer };
  const hint = textAt(error, "hint", 300);
  const message = textAt(error, "message", 300) ?? `ponte answered ${response.status}`;
  throw new PonteError(code, hint === undefined ? message : `${message} ${hint}`);
}
