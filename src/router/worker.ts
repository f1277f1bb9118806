import { PonteError } from "#core/error.ts";
import type { Clock, Log } from "#engine/ports.ts";
import { backOff, chanceOf } from "./backoff.ts";
import type { Completion, Job, Lane, Pool, QueuePort } from "./ports.ts";
import { Share } from "./share.ts";
import type { Stubborn } from "./stubborn.ts";

/** How an attempt ended; `tell` is called when that is committed. */
export type JobEnd = EndOf<Completion> & { readonly tell?: () => void };
type EndOf<T> = T extends Completion ? Omit<T, "lane" | "job"> : never;

/** Does jobs of one name. */
export interface JobHandler {
  run(job: Job): Promise<JobEnd>;
  /** The effect that dies with the job when it is given up. */
  effectOf(job: Job): string | undefined;
}

/** A job whose handler fails in a way that nobody thought of is given up after so many attempts: some hours. */
const MAX_CRASHES = 40;

/** The jobs of a lane that are fetched at once: a busy conversation need not claim its lane for each message. */
const JOBS_PER_LANE = 16;

/** A dead node's lanes come back after this, where nobody finds out that it died. */
const LEASE_MS = 30_000;

/** The queue tells when there is work; this is for what it did not tell, and for retries that come due. */
const POLL_MS = 1_000;

export interface WorkerOptions {
  readonly pool: Pool;
  readonly queue: QueuePort;
  readonly handlers: Readonly<Record<string, JobHandler>>;
  /** Lanes worked on at once. */
  readonly lanes: number;
  /** Lanes of one target (tenant, channel, endpoint) worked on at once. */
  readonly lanesPerTarget: number;
  /** Lanes of one tenant worked on at once, whatever their targets. */
  readonly lanesPerTenant: number;
  readonly stubborn: Stubborn;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => Uint8Array;
}

/**
 * Works off the lanes of one pool: claims as many as it has room for, does the jobs of each in order, and gives it back.
 *
 *     wake, poll ─▶ claim ─▶ job ─▶ finish ─▶ job ─▶ finish ─▶ … ─▶ release
 *                                     └ retry: the lane waits     └ lost: leave it alone
 */
export class Worker {
  readonly #options: WorkerOptions;
  readonly #targets: Share;
  readonly #tenants: Share;
  readonly #running = new Set<Promise<void>>();
  #claiming: Promise<void> | undefined;
  /** There may be more to claim than there was room for. */
  #more = false;
  #away = false;
  #stopped = false;
  #cancelPoll: (() => void) | undefined;
  #early: { readonly at: number; readonly cancel: () => void } | undefined;
  #unsubscribe: (() => void) | undefined;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#targets = new Share(options.lanesPerTarget);
    this.#tenants = new Share(options.lanesPerTenant);
  }

  start(): void {
    const { queue, pool } = this.#options;
    this.#unsubscribe = queue.onWork((about) => {
      if (about === pool) this.#pump();
    });
    this.#poll();
  }

  /** Ends the jobs that are under way and gives all lanes back. May be called twice. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe?.();
    this.#cancelPoll?.();
    this.#early?.cancel();
    await this.#claiming;
    await Promise.all(this.#running);
  }

  #poll(): void {
    this.#pump();
    this.#cancelPoll = this.#options.clock.after(POLL_MS, () => this.#poll());
  }

  /** Claims until there is no room or nothing due. One claim at a time, so that what is freed meanwhile goes into the next. */
  #pump(): void {
    this.#more = true;
    if (this.#stopped || this.#claiming !== undefined || this.#running.size >= this.#options.lanes) return;
    this.#claiming = this.#claimAll().finally(() => {
      this.#claiming = undefined;
      if (this.#more && !this.#away && this.#running.size < this.#options.lanes) this.#pump();
    });
  }

  async #claimAll(): Promise<void> {
    const { queue, pool, lanes, log } = this.#options;
    try {
      while (!this.#stopped && this.#more && this.#running.size < lanes) {
        this.#more = false;
        const room = lanes - this.#running.size;
        const [perTarget, perTenant] = [this.#targets.room(), this.#tenants.room()];
        const request = { pool, lanes: room, jobsPerLane: JOBS_PER_LANE, leaseMs: LEASE_MS, perTarget, perTenant };
        const claimed = await queue.claim(request);
        for (const lane of claimed) this.#take(lane);
        const targets = claimed.map((lane) => lane.target);
        const tenants = claimed.map((lane) => lane.tenantId);
        const passedOver = this.#targets.passedOver(perTarget, targets) || this.#tenants.passedOver(perTenant, tenants);
        if (claimed.length === room || passedOver) this.#more = true;
      }
      this.#away = false;
    } catch (error) {
      if (!this.#away) log.warn({ err: error, pool }, "cannot claim work; polling");
      this.#away = true;
    }
  }

  #take(lane: Lane): void {
    this.#targets.enter(lane.target);
    this.#tenants.enter(lane.tenantId);
    const work = (this.#stopped ? this.#giveBack(lane) : this.#workOff(lane))
      .catch((error: unknown) => this.#options.log.warn({ err: error, lane: lane.key }, "a lane was left to its lease"))
      .finally(() => {
        this.#running.delete(work);
        this.#leave(lane);
        if (this.#more && !this.#away) this.#pump();
      });
    this.#running.add(work);
  }

  /** Lanes of a target or tenant that was at its limit were not claimed. */
  #leave({ target, tenantId }: Lane): void {
    const [targetWasFull, tenantWasFull] = [this.#targets.leave(target), this.#tenants.leave(tenantId)];
    if (targetWasFull || tenantWasFull) this.#more = true;
  }

  async #workOff(lane: Lane): Promise<void> {
    const { queue, stubborn } = this.#options;
    const lease = { held: true };
    const release = this.#keepLease(lane, lease);
    try {
      for (const job of lane.jobs) {
        if (this.#stopped || !lease.held) break;
        const { tell, ...end } = await this.#attempt(job);
        const written = await stubborn.do("finish a job", () => queue.finish({ lane, job, ...end }));
        if (written === "lost") {
          this.#options.log.info({ lane: lane.key, job: job.id }, "a lane was taken over by another worker");
          return;
        }
        tell?.();
        if (end.result !== "retry") continue;
        this.#wakeIn(end.delayMs);
        break;
      }
    } finally {
      release();
    }
    if (lease.held) await this.#giveBack(lane);
  }

  #giveBack(lane: Lane): Promise<void> {
    return this.#options.stubborn.do("release a lane", () => this.#options.queue.release(lane));
  }

  /** Renews the lease while jobs take their time; returns what ends that. */
  #keepLease(lane: Lane, lease: { held: boolean }): () => void {
    const { queue, clock, log } = this.#options;
    let cancel: () => void = () => undefined;
    const later = () => {
      cancel = clock.after(LEASE_MS / 3, () => {
        queue.renew(lane, LEASE_MS).then(
          (held) => {
            lease.held = held;
          },
          (error: unknown) => log.debug({ err: error, lane: lane.key }, "could not renew a lease"),
        );
        later();
      });
    };
    later();
    return () => cancel();
  }

  /** Never rejects: what a handler throws is an attempt that failed. */
  async #attempt(job: Job): Promise<JobEnd> {
    const { handlers, log, random } = this.#options;
    const handler = handlers[job.handler];
    if (handler === undefined) return { result: "dead", error: `nobody does ${job.handler}` };
    try {
      return await handler.run(job);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const attempts = job.attempts + 1;
      const away = error instanceof PonteError && error.retryable;
      const facts = { err: error, job: job.id, handler: job.handler, event_id: job.eventId, attempts };
      log[away ? "warn" : "error"](facts, "a job failed");
      if (away || attempts < MAX_CRASHES)
        return { result: "retry", delayMs: backOff(attempts, chanceOf(random())), error: message };
      const key = handler.effectOf(job);
      return {
        result: "dead",
        error: message,
        ...(key === undefined ? {} : { settled: { key, state: "dead", error: message } }),
      };
    }
  }

  /** A retry that comes due between two polls is not late. */
  #wakeIn(delayMs: number): void {
    const at = this.#options.clock.now() + delayMs;
    if (delayMs >= POLL_MS || (this.#early !== undefined && this.#early.at <= at)) return;
    this.#early?.cancel();
    const cancel = this.#options.clock.after(delayMs, () => {
      this.#early = undefined;
      this.#pump();
    });
    this.#early = { at, cancel };
  }
}
