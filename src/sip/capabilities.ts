/** What ponte says of itself in SIP; the engine adds none of it. */

/** Methods that are taken inside a call. REFER is not among them: calls are not transferred by the PBX's request. */
export const ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE";

/** RFC 4028 §3: session timers are kept by the engine, on our word that they are supported; `session-timer.ts` asks for them. */
export const SUPPORTED = "timer";

export const USER_AGENT = "ponte";

export const ACCEPT = "application/sdp, application/dtmf-relay, application/dtmf";

/** Headers of every INVITE and of every 2xx that answers one. */
export const capabilities = { Allow: ALLOW, Supported: SUPPORTED, "User-Agent": USER_AGENT } as const;
