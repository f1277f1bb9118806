import type { ToneReport } from "#core/audio/tone.ts";
import { demoNumbers } from "#sandbox/numbers.ts";
import { SyntheticUsers } from "#sandbox/phone/synthetic-user.ts";
import type { UserCall } from "#sandbox/phone/user-call.ts";
import type { SandboxWorld } from "./sandbox-world.ts";

/** What the caller says, and what the demo PBX plays at its number 601. */
const ECHO_HZ = 440;
const PBX_HZ = 1004;
const DIGITS = "159#";

/** A tone through G.711 and Opus and back keeps more than 20 dB; below this somebody would complain. */
const LEAST_SNR_DB = 15;
const LISTEN_ATTEMPTS = 3;
/**
 * A person notices a hole of 60 ms. Here callers, Meta, the PBX and the daemon share one thread of a machine that others may
 * use as well, and its stalls of a tenth of a second are no fault of a path; a hole that is longer, in each stretch, is one.
 */
const MOST_GAP_MS = 200;
const MOST_LOSS = 0.01;
const FREQUENCY_TOLERANCE_HZ = 5;

/** Codecs and echoes settle before anything is measured. */
const SETTLE_MS = 400;

/** The record of a call is written behind. */
const RECORD_ATTEMPTS = 50;
const RECORD_PAUSE_MS = 100;

/** One call that was placed; times in milliseconds. */
export interface CallReport {
  readonly number: string;
  /** What is wrong, in words; empty when all is well. */
  readonly problems: readonly string[];
  readonly webhookToPreAcceptMs?: number;
  readonly iceAndDtlsMs?: number;
  readonly pbxAnswerMs?: number;
  readonly webhookToFirstAudioMs?: number;
  readonly roundTripMs?: number;
  /** What was heard in the stretch that is judged: the first good one, or the best. */
  readonly tone?: ToneReport;
  /** Stretches that were listened to, and how many of them were noisy or had a hole. */
  readonly stretches: number;
  readonly badStretches: number;
  readonly digitsSent: string;
  readonly digitsHeard: string;
  readonly lossRatio: number;
  readonly disposition: string;
}

/** How a call is listened to. */
export interface Look {
  /** Of a stretch of listening. */
  readonly seconds: number;
  /** Only the tone is judged: no burst, no digits. */
  readonly brief?: boolean;
}

/** Where the daemon's API is, and a key of it. */
export interface Api {
  readonly url: string;
  readonly key: string;
}

/** Calls that simulated users place through a world that is running, and what is heard in them. May be used again and again. */
export class TestCalls {
  readonly #stage: Stage;

  constructor(world: SandboxWorld, { url, key }: Api) {
    this.#stage = { world, users: new SyntheticUsers(world.meta), records: new Records(url, key) };
  }

  /** One call to the number at which the PBX plays a tone, which tells that direction apart from the other. */
  tone(look: Look): Promise<CallReport> {
    return toneCall(this.#stage, look);
  }

  /** So many calls at once to the number that sends everything back. */
  echoes(count: number, look: Look): Promise<readonly CallReport[]> {
    return Promise.all(Array.from({ length: count }, () => echoCall(this.#stage, look)));
  }

  /** Live calls, dialogs, and the like that should have gone. */
  async leftOver(): Promise<readonly string[]> {
    await this.#stage.world.meta.idle();
    return whatIsLeft(this.#stage.world);
  }

  /** Rules of the simulated Meta that were broken. */
  violations(): readonly string[] {
    return this.#stage.world.meta.log.violations().map(({ rule, text }) => `${rule}: ${text}`);
  }
}

/** Everything that a call needs has to be gone soon after it; waits for sockets and goodbyes a little. */
async function whatIsLeft({ daemon }: SandboxWorld): Promise<string[]> {
  for (let attempt = 0; ; attempt += 1) {
    const { calls, sip, agent, media } = await daemon.counters();
    const counts = {
      calls,
      ...sip,
      agent_dialogs: agent?.dialogs ?? 0,
      agent_pending: agent?.pending ?? 0,
      media_calls: media.calls,
      sessions: media.sessions,
    };
    const left = Object.entries(counts).flatMap(([what, count]) => (count === 0 ? [] : [`${count} ${what}`]));
    if (left.length === 0 || attempt === RECORD_ATTEMPTS) return left;
    await pause(RECORD_PAUSE_MS);
  }
}

interface Stage {
  readonly world: SandboxWorld;
  readonly users: SyntheticUsers;
  readonly records: Records;
}

/** The PBX says a tone, the caller listens. */
async function toneCall(stage: Stage, { seconds }: Look): Promise<CallReport> {
  return placed(stage, "601", async (call) => {
    await pause(SETTLE_MS);
    return { ...(await listenWell(call, seconds * 1_000, PBX_HZ)), expectedHz: PBX_HZ };
  });
}

/** The caller says a tone, measures a burst and presses keys; the PBX sends everything back. */
async function echoCall(stage: Stage, { seconds, brief }: Look): Promise<CallReport> {
  return placed(stage, "600", async (call) => {
    call.sendTone(ECHO_HZ);
    await pause(SETTLE_MS);
    const heard = { ...(await listenWell(call, seconds * 1_000, ECHO_HZ)), expectedHz: ECHO_HZ };
    if (brief === true) return heard;
    const roundTripMs = await call.measureRoundTrip();
    await call.sendDigits(DIGITS);
    await pause(SETTLE_MS);
    return { ...heard, digits: DIGITS, ...(roundTripMs === undefined ? {} : { roundTripMs }) };
  });
}

/** What was heard in the best of a few stretches. */
interface Listening {
  readonly tone: ToneReport;
  readonly stretches: number;
  readonly badStretches: number;
}

/**
 * Listens until a stretch is good. Callers, Meta and the daemon share one thread here, so a machine that stalls makes a hole
 * that no network made; a path that is broken stays broken.
 */
export async function listenWell(call: Pick<UserCall, "listen">, ms: number, hz: number): Promise<Listening> {
  const heard: ToneReport[] = [];
  while (heard.length < LISTEN_ATTEMPTS) {
    const tone = await call.listen(ms, hz);
    heard.push(tone);
    if (!isBad(tone)) return { tone, stretches: heard.length, badStretches: heard.length - 1 };
  }
  const best = heard.reduce((x, y) => (isBetter(y, x) ? y : x));
  return { tone: best, stretches: heard.length, badStretches: heard.length };
}

function isBad({ snrDb, longestGapMs }: ToneReport): boolean {
  return snrDb < LEAST_SNR_DB || longestGapMs > MOST_GAP_MS;
}

/** A tone with a hole is better than noise without one. */
function isBetter(one: ToneReport, other: ToneReport): boolean {
  const [clear, otherClear] = [one.snrDb >= LEAST_SNR_DB, other.snrDb >= LEAST_SNR_DB];
  if (clear !== otherClear) return clear;
  return clear ? one.longestGapMs < other.longestGapMs : one.snrDb > other.snrDb;
}

interface Heard extends Listening {
  readonly expectedHz: number;
  readonly digits?: string;
  readonly roundTripMs?: number;
}

async function placed(stage: Stage, extension: string, talk: (call: UserCall) => Promise<Heard>): Promise<CallReport> {
  const phoneNumberId = demoNumbers.find((number) => number.extension === extension)?.id ?? "";
  const call = await stage.users.call({ phoneNumberId });
  const heard = (await call.answered) ? await talk(call) : undefined;
  const statistics = await call.statistics();
  call.hangUp();
  await call.ended;
  const record = await stage.records.ended(call.wacid);
  const digitsSent = heard?.digits ?? "";
  const expected = statistics.packetsHeard + statistics.lost;
  const facts = {
    number: extension,
    digitsSent,
    digitsHeard: statistics.digitsHeard,
    lossRatio: expected === 0 ? 0 : statistics.lost / expected,
    disposition: `${record.result ?? "unknown"} by ${record.ended_by ?? "nobody"}`,
    ...timesOf(stage, call.wacid, record),
    ...(heard === undefined ? {} : { tone: heard.tone }),
    stretches: heard?.stretches ?? 0,
    badStretches: heard?.badStretches ?? 0,
    ...(heard?.roundTripMs === undefined ? {} : { roundTripMs: heard.roundTripMs }),
  };
  return { ...facts, problems: problemsOf(facts, heard) };
}

type Facts = Omit<CallReport, "problems">;

export function problemsOf(
  facts: Facts,
  heard: Pick<Heard, "tone" | "expectedHz" | "digits" | "roundTripMs"> | undefined,
): string[] {
  if (heard === undefined) return [`was not answered (${facts.disposition})`];
  const { tone, expectedHz } = heard;
  const wrong: (readonly [boolean, string])[] = [
    [Math.abs(tone.hz - expectedHz) > FREQUENCY_TOLERANCE_HZ, `heard ${tone.hz} Hz instead of ${expectedHz} Hz`],
    [tone.snrDb < LEAST_SNR_DB, `the tone is only ${tone.snrDb.toFixed(1)} dB above the rest`],
    [tone.longestGapMs > MOST_GAP_MS, `the tone has a hole of ${tone.longestGapMs} ms`],
    [
      facts.digitsHeard !== facts.digitsSent,
      `digits ${facts.digitsSent} came back as ${facts.digitsHeard || "nothing"}`,
    ],
    [facts.lossRatio > MOST_LOSS, `${(facts.lossRatio * 100).toFixed(1)} % of the packets were lost`],
    [heard.digits !== undefined && heard.roundTripMs === undefined, "no burst came back"],
    [facts.disposition !== "completed by caller", `ended as ${facts.disposition}`],
  ];
  return wrong.flatMap(([is, text]) => (is ? [text] : []));
}

/** Webhook times are those of the simulated Meta, the others are ponte's own record. */
function timesOf({ world }: Stage, wacid: string, { timings }: CallJson) {
  const webhook = world.meta.log.webhooks("connect").find((entry) => entry.wacids.includes(wacid));
  const preAccept = world.meta.log.requests("pre_accept").find((entry) => entry.wacid === wacid);
  const { pre_accepted_ms, media_connected_ms, pbx_answered_ms, first_rtp_in_ms } = timings ?? {};
  const between = (name: string, from: number | undefined, to: number | undefined): Record<string, number> =>
    from === undefined || to === undefined ? {} : { [name]: Math.round(to - from) };
  return {
    ...between("webhookToPreAcceptMs", webhook === undefined ? undefined : webhook.at - webhook.tookMs, preAccept?.at),
    ...between("iceAndDtlsMs", pre_accepted_ms, media_connected_ms),
    ...between("pbxAnswerMs", pre_accepted_ms, pbx_answered_ms),
    ...between("webhookToFirstAudioMs", 0, first_rtp_in_ms),
  };
}

interface CallJson {
  readonly id?: string;
  readonly wacid?: string;
  readonly state?: string;
  readonly result?: string;
  readonly ended_by?: string;
  readonly timings?: Readonly<Record<string, number>>;
}

/** Reads call records by the API, as an operator would. */
class Records {
  readonly #url: string;
  readonly #key: string;

  constructor(url: string, key: string) {
    this.#url = url;
    this.#key = key;
  }

  /** The record of a call that has ended; an empty one when it does not appear. */
  async ended(wacid: string): Promise<CallJson> {
    for (let attempt = 0; attempt < RECORD_ATTEMPTS; attempt += 1) {
      const { calls } = (await this.#get("/v1/calls?limit=200")) as { readonly calls: readonly CallJson[] };
      const found = calls.find((call) => call.wacid === wacid && call.state === "ended");
      if (found?.id !== undefined) return found;
      await pause(RECORD_PAUSE_MS);
    }
    return {};
  }

  async #get(path: string): Promise<unknown> {
    const answer = await fetch(`${this.#url}${path}`, { headers: { authorization: `Bearer ${this.#key}` } });
    if (!answer.ok) throw new Error(`GET ${path}: ${answer.status}`);
    return await answer.json();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
