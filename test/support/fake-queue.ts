import type { CommunicationEvent, EventId } from "#core/event/event.ts";
import type {
  ClaimRequest,
  Completion,
  EffectLedgerPort,
  EffectStart,
  Job,
  Lane,
  NewJob,
  PlannedEffect,
  Pool,
  QueuePort,
  Room,
} from "#router/ports.ts";
import type { FakeClock } from "#test/support/fake-clock.ts";

interface FakeJob {
  readonly job: NewJob;
  readonly id: string;
  attempts: number;
  runAt: number;
  state: "queued" | "dead";
  lastError?: string;
}

interface FakeLane {
  readonly jobs: FakeJob[];
  lease: number;
  heldUntil: number | undefined;
  touched: number;
}

/** An effect as the ledger knows it. */
export interface FakeEffect {
  readonly planned: Pick<PlannedEffect, "key" | "kind" | "detail">;
  state: "planned" | "started" | "done" | "dead" | "unknown";
  attempts: number;
  response?: PlannedEffect["detail"];
  error?: string;
}

/** Queue and ledger share their memory, as they share their statement. */
export class FakeQueue implements QueuePort, EffectLedgerPort {
  readonly effects = new Map<string, FakeEffect>();
  /** What was finished, in order: `handler done|retry|dead`. */
  readonly finished: string[] = [];
  readonly #clock: FakeClock;
  readonly #events: Map<EventId, CommunicationEvent>;
  readonly #lanes = new Map<string, FakeLane>();
  readonly #listeners = new Set<(pool: Pool) => void>();
  #next = 1;
  #leases = 1;

  constructor(clock: FakeClock, events: Map<EventId, CommunicationEvent>) {
    this.#clock = clock;
    this.#events = events;
  }

  async add(jobs: readonly NewJob[]): Promise<number> {
    const added = jobs.filter((job) => this.#put(job)).length;
    for (const pool of new Set(jobs.map((job) => job.pool))) this.#wake(pool);
    return added;
  }

  async claim({ pool, lanes, jobsPerLane, leaseMs, perTarget, perTenant }: ClaimRequest) {
    const now = this.#clock.now();
    const claimed: Lane[] = [];
    const fits = (room: Room | undefined, of: (lane: Lane | NewJob) => string, job: NewJob) =>
      room === undefined ||
      claimed.filter((lane) => of(lane) === of(job)).length < (room.left.get(of(job)) ?? room.each);
    for (const [key, lane] of this.#lanes) {
      const first = queued(lane)[0];
      if (claimed.length >= lanes || first === undefined || first.job.pool !== pool) continue;
      if ((lane.heldUntil ?? 0) > now || first.runAt > now) continue;
      if (!fits(perTarget, (of) => of.target, first.job) || !fits(perTenant, (of) => of.tenantId, first.job)) continue;
      lane.lease = this.#leases++;
      lane.heldUntil = now + leaseMs;
      const due: FakeJob[] = [];
      for (const job of queued(lane)) if (job.runAt <= now && due.length < jobsPerLane) due.push(job);
      claimed.push({
        key,
        pool,
        target: first.job.target,
        tenantId: first.job.tenantId,
        lease: String(lane.lease),
        seq: String(lane.touched),
        jobs: due.map(jobOf),
      });
    }
    return claimed;
  }

  async finish(completion: Completion): Promise<"finished" | "lost"> {
    const lane = this.#held(completion.lane);
    const job = lane?.jobs.find(({ id, state }) => id === completion.job.id && state === "queued");
    if (lane === undefined || job === undefined) return "lost";
    this.finished.push(`${job.job.handler} ${completion.result}`);
    job.attempts += 1;
    if (completion.result === "done") lane.jobs.splice(lane.jobs.indexOf(job), 1);
    if (completion.result === "retry") {
      job.runAt = this.#clock.now() + completion.delayMs;
      job.lastError = completion.error;
    }
    if (completion.result === "dead") job.state = "dead";
    if (completion.result !== "retry" && completion.settled !== undefined) this.#settle(completion.settled);
    if (completion.result === "done") this.#plan(completion.effects ?? []);
    this.#tellEvent(job.job, completion);
    return "finished";
  }

  async release(lane: Lane): Promise<void> {
    const held = this.#held(lane);
    if (held === undefined) return;
    held.heldUntil = undefined;
    if ((queued(held)[0]?.runAt ?? Number.POSITIVE_INFINITY) <= this.#clock.now()) this.#wake(lane.pool);
  }

  async renew(lane: Lane, leaseMs: number): Promise<boolean> {
    const held = this.#held(lane);
    if (held !== undefined) held.heldUntil = this.#clock.now() + leaseMs;
    return held !== undefined;
  }

  onWork(listener: (pool: Pool) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  recover(): Promise<number> {
    return Promise.resolve(0);
  }

  figures() {
    return Promise.resolve([]);
  }

  async start(key: string): Promise<EffectStart> {
    const effect = this.effects.get(key);
    if (effect === undefined) {
      const planned = { key, kind: "send_message", detail: {} } as const;
      this.effects.set(key, { planned, state: "started", attempts: 1 });
      return { state: "fresh" };
    }
    if (effect.state === "done") return { state: "done", response: effect.response ?? {} };
    if (effect.state !== "planned") return { state: "unknown" };
    effect.state = "started";
    effect.attempts += 1;
    return { state: "fresh" };
  }

  async notDone(key: string, error: string): Promise<void> {
    const effect = this.effects.get(key);
    if (effect?.state === "started") Object.assign(effect, { state: "planned", error });
  }

  /** How many wait, how many were given up. */
  get counts(): { readonly queued: number; readonly dead: number } {
    const jobs = [...this.#lanes.values()].flatMap((lane) => lane.jobs);
    const dead = jobs.filter(({ state }) => state === "dead").length;
    return { queued: jobs.length - dead, dead };
  }

  #put(job: NewJob): boolean {
    const lane = this.#lanes.get(job.lane) ?? { jobs: [], lease: 0, heldUntil: undefined, touched: 0 };
    this.#lanes.set(job.lane, lane);
    if (job.idem !== undefined && queued(lane).some((other) => other.job.idem === job.idem)) return false;
    const runAt = this.#clock.now() + (job.delayMs ?? 0);
    lane.jobs.push({ job, id: String(this.#next++), attempts: 0, runAt, state: "queued" });
    lane.touched += 1;
    return true;
  }

  #plan(effects: readonly PlannedEffect[]): void {
    for (const { key, kind, detail, state, error, job } of effects) {
      const known = this.effects.get(key);
      if (known !== undefined && known.state !== "dead") continue;
      const attempts = known?.attempts ?? 0;
      this.effects.set(key, { planned: { key, kind, detail }, state, attempts, ...(error ? { error } : {}) });
      if (job === undefined) continue;
      this.#put(job);
      this.#wake(job.pool);
    }
  }

  #settle({ key, state, response, error }: NonNullable<Extract<Completion, { result: "done" }>["settled"]>): void {
    const effect = this.effects.get(key);
    if (effect === undefined || !["planned", "started"].includes(effect.state)) return;
    effect.state = state;
    if (response !== undefined) effect.response = response;
    if (error !== undefined) effect.error = error;
  }

  #tellEvent({ eventId: id }: NewJob, completion: Completion): void {
    const event = id === undefined ? undefined : this.#events.get(id);
    if (event === undefined || completion.result !== "done" || completion.routed === undefined) return;
    this.#events.set(event.eventId, { ...event, status: completion.routed.status });
  }

  #held(lane: Lane): FakeLane | undefined {
    const known = this.#lanes.get(lane.key);
    return known !== undefined && String(known.lease) === lane.lease ? known : undefined;
  }

  #wake(pool: Pool): void {
    for (const listener of this.#listeners) listener(pool);
  }
}

function queued(lane: FakeLane): readonly FakeJob[] {
  return lane.jobs.filter(({ state }) => state === "queued");
}

function jobOf({ job, id, attempts, lastError }: FakeJob): Job {
  const { delayMs: _delay, idem: _idem, ...rest } = job;
  return { ...rest, id, attempts, ...(lastError === undefined ? {} : { lastError }) };
}
