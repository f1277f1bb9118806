import type { Clock, Log, WhatsAppPort } from "./ports.ts";

/** A call whose node died: its media is gone, and Meta has not been told. */
export interface LostCall {
  readonly id: string;
  readonly wacid: string;
  readonly channelId: string;
  /** Where it stood. */
  readonly state: string;
}

export interface SweeperOptions {
  /** Ends the calls of dead nodes in the store and returns each of them once, to one caller. */
  readonly sweep: () => Promise<readonly LostCall[]>;
  readonly whatsapp: WhatsAppPort;
  readonly clock: Clock;
  readonly log: Log;
}

/** A lost call costs its caller at most this long in silence, on top of the time after which a node counts as dead. */
const SWEEP_EVERY_MS = 2_000;

/** Ends the calls of nodes that died, in the store and at Meta, so that none is "active" for ever. */
export class Sweeper {
  readonly #options: SweeperOptions;
  #cancel: (() => void) | undefined;
  #sweeping: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: SweeperOptions) {
    this.#options = options;
  }

  /** Sweeps at once; what a former life of this process left is ended before new calls are taken. */
  async start(): Promise<void> {
    await this.#sweep();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#sweeping;
  }

  async #sweep(): Promise<void> {
    this.#sweeping = this.#once();
    await this.#sweeping;
    if (this.#stopped) return;
    this.#cancel = this.#options.clock.after(SWEEP_EVERY_MS, () => void this.#sweep());
  }

  async #once(): Promise<void> {
    const { sweep, log } = this.#options;
    try {
      const lost = await sweep();
      await Promise.all(lost.map((call) => this.#tellMeta(call)));
    } catch (error) {
      log.warn({ err: error }, "lost calls could not be looked for");
    }
  }

  /** After pre_accept Meta wants `terminate`, before it `reject`; one that is over already answers that it is gone. */
  async #tellMeta({ id, wacid, channelId, state }: LostCall): Promise<void> {
    const { whatsapp, log } = this.#options;
    const answered = state !== "offered" && state !== "preparing";
    const outcome = await whatsapp[answered ? "terminate" : "reject"](channelId, wacid);
    const code = outcome.ok ? undefined : outcome.failure.code;
    log.warn({ call_id: id, channel_id: channelId, from: state, graph_code: code }, "call of a dead node ended");
  }
}
