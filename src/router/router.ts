import type { Message } from "#core/message/message.ts";
import type { MatchReport } from "#core/rule/rule.ts";
import { Repeating } from "#engine/repeating.ts";
import type { ActionTools } from "./actions/action.ts";
import { chanceOf } from "./backoff.ts";
import { dryRun } from "./dry-run.ts";
import { DeliverHandler, type RetrySchedule } from "./handlers/deliver.ts";
import { RouteHandler } from "./handlers/route.ts";
import { SendHandler } from "./handlers/send.ts";
import { handler } from "./jobs.ts";
import { LiveChanges } from "./live.ts";
import { sendByPerson } from "./person-reply.ts";
import type { Pool, RuleDraft } from "./ports.ts";
import { type FieldProblem, ruleProblems } from "./rule-check.ts";
import type { LiveChange, Outcome, RouterServicePort, SendRequest, TrialEvent } from "./services.ts";
import { sharedChannels, sharedEndpoints } from "./shared-world.ts";
import { Stubborn } from "./stubborn.ts";
import { type JobHandler, Worker } from "./worker.ts";
import type { RouterWorld } from "./world.ts";

/** Lanes of each pool that are worked on at once; each waits for the disk of the database most of its time. */
const DEFAULT_CONCURRENCY = 128;

/** One channel or endpoint gets at most this share of a pool, so that a slow one leaves room for the others. */
const TARGET_SHARE = 0.25;

/** One tenant gets at most this share of a pool, however many channels and endpoints it has, also when nobody else waits. */
const TENANT_SHARE = 0.75;

/** Lanes of dead nodes are looked for so often. */
const RECOVER_MS = 5_000;

/** A stop waits so long for outside calls and for a store that is away; then what is not written down stays unknown. */
const STOP_GRACE_MS = 10_000;

export interface RouterOptions extends RouterWorld {
  /** When a delivery that failed is tried again. */
  readonly schedule: RetrySchedule;
  /** Lanes of each pool that are worked on at once. */
  readonly concurrency?: number;
}

/** Takes what happened, asks the rules, and sees to it that what they say is done. */
export class EventRouter implements RouterServicePort {
  readonly #options: RouterOptions;
  readonly #tools: ActionTools;
  readonly #live: LiveChanges;
  #workers: readonly Worker[] = [];
  #recovering: Repeating | undefined;
  #stubborn: Stubborn | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: RouterOptions) {
    this.#options = options;
    this.#live = new LiveChanges(options.log);
    const channels = sharedChannels(options.channels);
    const endpoints = sharedEndpoints(options.endpoints);
    this.#tools = { world: { ...options, channels, endpoints }, live: this.#live };
  }

  /** Frees what dead nodes held, and begins to work. */
  async start(): Promise<void> {
    const { queue, clock, log } = this.#options;
    const stubborn = new Stubborn(clock, log);
    this.#stubborn = stubborn;
    this.#recovering = new Repeating({
      name: "free lanes of dead nodes",
      everyMs: RECOVER_MS,
      task: () => queue.recover(),
      clock,
      log,
    });
    await this.#recovering.start();
    const tools = this.#tools;
    const chance = () => chanceOf(this.#options.random());
    const { schedule } = this.#options;
    this.#workers = [
      this.#worker("route", { [handler.route]: new RouteHandler(tools) }, 1, stubborn),
      this.#worker("send", { [handler.send]: new SendHandler(tools, stubborn) }, TARGET_SHARE, stubborn),
      this.#worker(
        "deliver",
        { [handler.deliver]: new DeliverHandler({ tools, stubborn, schedule, chance }) },
        TARGET_SHARE,
        stubborn,
      ),
    ];
    for (const worker of this.#workers) worker.start();
  }

  /** Ends what is under way and gives all lanes back. May be called twice. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  dryRun(tenantId: string, event: TrialEvent, rules?: readonly RuleDraft[]): Promise<MatchReport> {
    return dryRun(this.#tools, tenantId, event, rules);
  }

  check(draft: RuleDraft): readonly FieldProblem[] {
    return ruleProblems(draft);
  }

  send(request: SendRequest): Promise<Outcome<Message>> {
    return sendByPerson(this.#tools, request);
  }

  watch(listener: (change: LiveChange) => void): () => void {
    return this.#live.watch(listener);
  }

  /** For edges that change what pages show, such as the onboarding of channels. */
  tell(change: LiveChange): void {
    this.#live.tell(change);
  }

  #worker(pool: Pool, handlers: Readonly<Record<string, JobHandler>>, share: number, stubborn: Stubborn): Worker {
    const { queue, clock, log, random, concurrency = DEFAULT_CONCURRENCY } = this.#options;
    return new Worker({
      pool,
      queue,
      handlers,
      lanes: concurrency,
      lanesPerTarget: Math.max(1, Math.floor(concurrency * share)),
      lanesPerTenant: Math.max(1, Math.floor(concurrency * TENANT_SHARE)),
      stubborn,
      clock,
      log: log.child({ pool }),
      random,
    });
  }

  async #stop(): Promise<void> {
    const cancel = this.#options.clock.after(STOP_GRACE_MS, () => this.#stubborn?.giveUp());
    await this.#recovering?.stop();
    await Promise.all(this.#workers.map((worker) => worker.stop()));
    cancel();
  }
}
