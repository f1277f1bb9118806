import type { Event } from "#core/call/event.ts";
import { judgeSilence, silenceHints } from "#core/call/evidence.ts";
import type { WhatsAppOffer } from "#core/sdp/session.ts";
import { writeWhatsAppAnswer } from "#core/sdp/whatsapp-answer.ts";
import { readWhatsAppOffer } from "#core/sdp/whatsapp-offer.ts";
import type { CallContext } from "./call-context.ts";
import type { MediaCallPort, MediaEvents, MediaStatistics } from "./ports.ts";

/** A call's media: opened for the answer, connected after pre_accept, sending after accept. */
export class MediaSide {
  readonly #context: CallContext;
  #media: MediaCallPort | undefined;
  #last: MediaStatistics | undefined;

  constructor(context: CallContext) {
    this.#context = context;
  }

  /** The media of this call, once it is prepared. */
  get port(): MediaCallPort | undefined {
    return this.#media;
  }

  /** The figures of a closed call, else those of now. */
  async statistics(): Promise<MediaStatistics | undefined> {
    return this.#last ?? (await this.#media?.statistics());
  }

  get lastStatistics(): MediaStatistics | undefined {
    return this.#last;
  }

  /** Reads the offer and makes our answer; `media_prepared`, `offer_unusable` or `media_unavailable` come of it. */
  async prepare(): Promise<void> {
    const { call, take } = this.#context;
    const read = readWhatsAppOffer(call().offer.sdp);
    if (!read.ok) {
      const cause = read.problem.code === "no_common_codec" ? "no_common_codec" : "bad_offer";
      return take({ type: "offer_unusable", cause, detail: read.problem.text });
    }
    take(await this.#open(read.value));
  }

  async #open(offer: WhatsAppOffer): Promise<Event> {
    const { world, call } = this.#context;
    try {
      const media = await world.media.open(call().id, offer, this.#events());
      this.#media = media;
      // The caller may have given up while the worker made room; then nobody else closes it.
      if (call().state === "ended") await this.close();
      const identity = { ssrc: media.ssrc, cname: "ponte", sessionId: String(world.clock.now()) };
      return { type: "media_prepared", answer: writeWhatsAppAnswer(offer, media.local, identity) };
    } catch (error) {
      return { type: "media_unavailable", detail: error instanceof Error ? error.message : String(error) };
    }
  }

  connect(): void {
    this.#media?.connect();
  }

  /** Resolves when the worker has forgotten the call. */
  async close(): Promise<void> {
    if (this.#media !== undefined) this.#last = await this.#media.close();
  }

  #events(): MediaEvents {
    const { log, note, take } = this.#context;
    return {
      onConnected: () => take({ type: "media_connected" }),
      onFailed: (failure, detail) => take({ type: "media_failed", failure, detail }),
      onEvidence: (step, at) => take({ type: "evidence", step, at: Math.round(at) }),
      onSilenceCheck: (afterMs, findings) => {
        const verdict = judgeSilence(findings);
        const facts = { after_ms: afterMs, verdict, ...findings };
        if (verdict === "two_way") log.debug(facts, "both sides are heard");
        else log.warn({ ...facts, hint: silenceHints[verdict] }, "silence on the call");
        note("silence_check", { after_ms: afterMs, verdict });
      },
      onDigit: (side, digit, durationMs) => {
        log.debug({ side, digit, duration_ms: durationMs }, "digit");
        note("digit", { side, duration_ms: durationMs });
      },
    };
  }
}
