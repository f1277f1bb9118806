import type { CallContext } from "./call-context.ts";
import type { GraphOutcome } from "./ports.ts";

type Refused = Extract<GraphOutcome, { ok: false }>;

/**
 * A call's requests to Meta. They go one after the other, so that a terminate never overtakes the pre_accept that it follows.
 */
export class MetaSide {
  readonly #context: CallContext;
  #requests: Promise<void> = Promise.resolve();

  constructor(context: CallContext) {
    this.#context = context;
  }

  /** Tells Meta our answer; `pre_accepted`, `accepted` or `graph_failed` come of it. */
  ask(step: "pre_accept" | "accept", answer: string): void {
    const { world, call, take } = this.#context;
    const { offer, limits } = call();
    const deadline = offer.offeredAt + limits.answerBudgetMs;
    this.#queue(async () => {
      if (call().state === "ended") return;
      const outcome = await (step === "pre_accept"
        ? world.whatsapp.preAccept(offer.channelId, offer.wacid, answer, deadline)
        : world.whatsapp.accept(offer.channelId, offer.wacid, answer, deadline));
      if (outcome.ok) return take({ type: step === "pre_accept" ? "pre_accepted" : "accepted" });
      this.#report(step, outcome);
      const { code, details, gone, message } = outcome.failure;
      take({ type: "graph_failed", step, refusal: { code, gone, message: details ?? message } });
    });
  }

  /** Ends the call at Meta. Resolves when Meta has answered, whatever it said. */
  sayGoodbye(action: "reject" | "terminate"): Promise<void> {
    const { world, call, note } = this.#context;
    const { offer } = call();
    return this.#queue(async () => {
      const outcome = await world.whatsapp[action](offer.channelId, offer.wacid);
      if (!outcome.ok) this.#report(action, outcome);
      note(`meta_${action}`, outcome.ok ? { ok: true } : { ok: false, graph_code: outcome.failure.code });
    });
  }

  #queue(task: () => Promise<void>): Promise<void> {
    this.#requests = this.#requests.then(task).catch((error: unknown) => {
      this.#context.log.error({ err: error }, "request to Meta crashed");
      this.#context.take({ type: "crashed", detail: error instanceof Error ? error.message : String(error) });
    });
    return this.#requests;
  }

  #report(action: string, { failure, attempts }: Refused): void {
    const { code, details, fbtraceId, httpStatus, hint, gone } = failure;
    const facts = { action, code, details, fbtrace_id: fbtraceId, http_status: httpStatus, attempts, hint };
    if (gone) this.#context.log.info(facts, "the call is gone at Meta");
    else this.#context.log.warn(facts, "Meta refused");
  }
}
