import type { Disposition } from "#core/call/disposition.ts";
import type { CallContext } from "./call-context.ts";
import { dialHeaders } from "./dialling.ts";
import { PbxSession } from "./pbx-session.ts";
import type { MediaCallPort, SipLegEvents, SipLegPort } from "./ports.ts";

/** A call's leg `b`: the INVITE to the PBX and the dialog that comes of it. */
export class PbxSide {
  readonly #context: CallContext;
  #leg: SipLegPort | undefined;

  constructor(context: CallContext) {
    this.#context = context;
  }

  dial(trunk: string, target: string, media: MediaCallPort): void {
    const { world, call } = this.#context;
    const { id, offer, receivedAt } = call();
    const session = new PbxSession(media, world.mediaOf(trunk), String(receivedAt));
    const { number, profileName } = offer.caller;
    const request = {
      callId: id,
      trunk,
      target,
      sdp: session.offer(),
      headers: dialHeaders(id, offer),
      ...(number === undefined ? {} : { callerNumber: number }),
      ...(profileName === undefined ? {} : { callerName: profileName }),
    };
    this.#leg = world.sip.dial(request, this.#events(session, media));
  }

  /** CANCEL or BYE, whatever fits. Resolves when the PBX has taken it. */
  async hangUp(disposition: Disposition): Promise<void> {
    await this.#leg?.hangUp(disposition);
  }

  #events(session: PbxSession, media: MediaCallPort): SipLegEvents {
    const { log, note, take } = this.#context;
    return {
      onProgress: (status, hasSdp) => take({ type: "leg_progress", status, early: hasSdp }),
      onAnswered: ({ sdp, sipCallId }) => {
        log.debug({ sip_call_id: sipCallId }, "PBX answered");
        const problem = session.answered(sdp);
        take(problem === undefined ? { type: "leg_answered" } : { type: "session_unusable", detail: problem });
      },
      onFailed: (failure) => take({ type: "leg_failed", ...failure }),
      onEnded: (end) => take({ type: "leg_ended", ...end }),
      onReoffer: async (sdp) => this.#reoffered(session, sdp),
      onReofferWanted: async () => session.offerAgain(),
      onReofferAnswered: (sdp) => {
        const problem = session.answered(sdp);
        if (problem === undefined) this.#noteSession(session);
        else log.warn({ problem }, "the PBX's answer to our offer cannot be used; the session stays as it was");
      },
      onDigit: (digit, durationMs) => {
        media.sendDigit("a", digit, durationMs);
        log.debug({ side: "b", digit, duration_ms: durationMs }, "digit by INFO");
        note("digit", { side: "b", duration_ms: durationMs, by: "info" });
      },
    };
  }

  #reoffered(session: PbxSession, sdp: string): string | undefined {
    const answer = session.reoffered(sdp);
    if (answer === undefined)
      this.#context.log.warn({}, "the PBX's new offer cannot be used; the session stays as it was");
    else this.#noteSession(session);
    return answer;
  }

  #noteSession({ current }: PbxSession): void {
    if (current === undefined) return;
    const facts = { codec: current.audio.codec, direction: current.direction };
    this.#context.log.info(facts, "PBX changed the session");
    this.#context.note("session_changed", facts);
  }
}
