import type { Answer, Headers } from "./message.ts";

/**
 * How long a session lives without being refreshed, seconds (RFC 4028 §4): a PBX that dies in a call is noticed within three
 * minutes. Half of it is the least that anybody may demand.
 */
export const SESSION_S = 180;

/** A PBX that wants longer sessions than a day is mistaken. */
const MAX_SESSION_S = 86_400;

/** What our INVITE asks for. */
export interface SessionWish {
  readonly seconds: number;
  /** The shortest that we may ask for, as the PBX told us by 422. */
  readonly minSeconds?: number;
  /** `pbx` where we cannot refresh; else the PBX chooses, as RFC 4028 §7.1 recommends. */
  readonly refresher: "pbx" | "any";
}

/** The engine refreshes for us, but knows no password, and an old drachtio-server does not refresh calls that we placed. */
export function sessionWish(trunk: { readonly username?: string }, engineVersion: string): SessionWish {
  const canRefresh = trunk.username === undefined && refreshesPlacedCalls(engineVersion);
  return { seconds: SESSION_S, refresher: canRefresh ? "any" : "pbx" };
}

export function sessionHeaders({ seconds, minSeconds, refresher }: SessionWish): Headers {
  return {
    "Session-Expires": refresher === "pbx" ? `${seconds};refresher=uas` : String(seconds),
    ...(minSeconds === undefined ? {} : { "Min-SE": String(minSeconds) }),
  };
}

/** RFC 4028 §7.3: what to ask for after a 422; undefined when that is of no use. */
export function longerSession(wish: SessionWish, answer: Pick<Answer, "status" | "header">): SessionWish | undefined {
  if (answer.status !== 422 || wish.minSeconds !== undefined) return undefined;
  const minSeconds = Number(/^\s*(\d{1,9})/.exec(answer.header("Min-SE") ?? "")?.[1] ?? 0);
  if (minSeconds <= wish.seconds || minSeconds > MAX_SESSION_S) return undefined;
  return { ...wish, seconds: minSeconds, minSeconds };
}

/** Up to 0.8.2 a drachtio-server kept timers of calls that it received only. */
function refreshesPlacedCalls(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.replace(/^v/, "").split(/[.-]/).map(Number);
  return major * 1e6 + minor * 1e3 + patch > 8_002;
}
