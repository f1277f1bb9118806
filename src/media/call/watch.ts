import type { Instant } from "#core/call/call.ts";
import {
  type EvidenceStep,
  evidenceSteps,
  judgeSilence,
  type SilenceFindings,
  silenceChecksMs,
} from "#core/call/evidence.ts";

/** How often it is looked whether the far end is alive; a fraction of the time after which it counts as dead. */
const LIFE_CHECKS_PER_PERIOD = 6;

export interface WatchOptions {
  /** Findings since the beginning of the call. */
  readonly findings: () => SilenceFindings;
  /** A number that grows whenever something authentic came from WhatsApp: RTP, RTCP, or an answered consent check. */
  readonly signsOfLife: () => number;
  readonly deadAfterMs: number;
  readonly checksMs?: readonly number[];
  readonly onEvidence: (step: EvidenceStep, at: Instant) => void;
  readonly onSilenceCheck: (afterMs: number, findings: SilenceFindings) => void;
  readonly onDead: (detail: string) => void;
}

/** Watches one call: what was proven, who is silent, who is gone. Driven by `tick`, so it has no timer of its own. */
export class Watch {
  readonly #options: WatchOptions;
  readonly #seen = new Set<EvidenceStep>();
  readonly #checks: number[];
  #startedAt: Instant | undefined;
  #atStart: SilenceFindings | undefined;
  #life = 0;
  #lifeAt = 0;
  #lifeCheckAt = 0;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#checks = [...(options.checksMs ?? silenceChecksMs)];
  }

  /** Every step was seen. */
  get isComplete(): boolean {
    return this.#seen.size === evidenceSteps.length;
  }

  /** The first time counts. */
  saw(step: EvidenceStep, at: Instant): void {
    if (this.#seen.has(step)) return;
    this.#seen.add(step);
    this.#options.onEvidence(step, at);
    if (this.#seen.has("first_rtp_in") && this.#seen.has("first_pbx_rtp_in")) this.saw("two_way", at);
  }

  /** The call was accepted: silence counts from here. */
  start(at: Instant): void {
    if (this.#startedAt !== undefined) return;
    this.#startedAt = at;
    this.#atStart = this.#options.findings();
    this.#life = this.#options.signsOfLife();
    this.#lifeAt = at;
    this.#lifeCheckAt = at;
  }

  /** To be called every 20 ms. */
  tick(at: Instant): void {
    if (this.#startedAt === undefined) return;
    const check = this.#checks[0];
    if (check !== undefined && at >= this.#startedAt + check) {
      this.#checks.shift();
      this.#judge(check);
    }
    if (at >= this.#lifeCheckAt) this.#checkLife(at);
  }

  #judge(afterMs: number): void {
    const findings = since(this.#options.findings(), this.#atStart);
    // Heard once, the call is well: a caller who is silent later has muted his microphone.
    if (judgeSilence(findings) === "two_way") this.#checks.length = 0;
    this.#options.onSilenceCheck(afterMs, findings);
  }

  #checkLife(at: Instant): void {
    const { deadAfterMs, signsOfLife, onDead } = this.#options;
    this.#lifeCheckAt = at + deadAfterMs / LIFE_CHECKS_PER_PERIOD;
    const life = signsOfLife();
    if (life !== this.#life) {
      this.#life = life;
      this.#lifeAt = at;
    } else if (at - this.#lifeAt >= deadAfterMs) {
      this.#startedAt = undefined;
      onDead(`nothing authentic came from WhatsApp for ${Math.round((at - this.#lifeAt) / 1_000)} s`);
    }
  }
}

function since(now: SilenceFindings, start: SilenceFindings | undefined): SilenceFindings {
  if (start === undefined) return now;
  return {
    fromWhatsApp: now.fromWhatsApp - start.fromWhatsApp,
    toWhatsApp: now.toWhatsApp - start.toWhatsApp,
    fromPbx: now.fromPbx - start.fromPbx,
    toPbx: now.toPbx - start.toPbx,
    unauthenticated: now.unauthenticated - start.unauthenticated,
    strangers: now.strangers - start.strangers,
    pbxAddressSuspect: now.pbxAddressSuspect,
  };
}
