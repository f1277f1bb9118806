import type { Instant } from "#core/call/call.ts";
import type { EventDraft } from "#core/event/draft.ts";
import type { Clock, InboxItem, Log, MetaCallEvent, MetaEventsPort, WebhookInboxPort } from "#engine/ports.ts";
import type { ChannelDirectoryPort, EventIntakePort } from "#router/ports.ts";
import { Lanes } from "./lanes.ts";
import { MessageIntake } from "./message-intake.ts";
import { sameSecret, signatureFits } from "./signature.ts";
import type { WebhookReading } from "./webhook.ts";
import { MAX_WEBHOOK_BYTES, readWebhook } from "./webhook.ts";

export interface ReceiverParts {
  readonly inbox: WebhookInboxPort;
  readonly engine: MetaEventsPort;
  /** App secrets; more than one while a secret is changed. Without any, every webhook is refused. */
  readonly secrets: readonly string[];
  /** Without it the address cannot be verified. */
  readonly verifyToken?: string;
  /** Where messages and their statuses go; without it they are ignored with a word. */
  readonly messages?: {
    readonly intake: EventIntakePort;
    readonly channels: Pick<ChannelDirectoryPort, "find">;
    readonly randomBytes: (count: number) => Uint8Array;
  };
  readonly log: Log;
  readonly clock: Clock;
}

/** Meta's GET: `hub.mode`, `hub.verify_token`, `hub.challenge`. */
export interface VerifyQuestion {
  readonly mode?: string;
  readonly token?: string;
  readonly challenge?: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body?: string;
}

/** What came in, since the start. */
export interface ReceiverCounters {
  readonly accepted: number;
  readonly duplicates: number;
  readonly wrongSignatures: number;
  readonly unreadable: number;
  readonly storeFailures: number;
  readonly problems: number;
  readonly offers: number;
  readonly terminates: number;
  readonly ignored: number;
  readonly failed: number;
  readonly recovered: number;
  /** Messages and statuses that became events, came again, had no tenant, or could not be stored as they are. */
  readonly messages: number;
  readonly messageDuplicates: number;
  readonly messagesParked: number;
  readonly messagesRefused: number;
}

/** Webhooks that wait for the store or the engine at once; beyond it Meta is asked to come back. */
const MAX_IN_PROGRESS = 1_000;
/** Their bodies together: a thousand of the usual 2 kB, and still room for the longest ones. */
const MAX_BYTES_IN_PROGRESS = 64 * 1_048_576;
/** Ids that are remembered, so that a webhook is not taken twice by this process: an hour at three a second. */
const MAX_REMEMBERED = 10_000;
const RECOVERY_BATCH = 100;
const MAX_RECOVERY_LIST = 2_000;
/** The database may start after us. */
const RECOVERY_RETRY_MS = 5_000;
/** What is written to the inbox about a failure, characters. */
const MAX_ERROR_LENGTH = 300;

/**
 * Takes Meta's webhooks: checks the signature over the raw bytes, stores the body, answers 200 when it is committed, and only
 * then hands its events to the engine. What is not stored is not taken: Meta gets 503 and repeats it, so that a call which
 * rings here is one that also survives here. An unanswered offer goes on ringing meanwhile.
 *
 * Messages and statuses go to the router's intake, which has an inbox of its own; they are answered when they are committed there.
 *
 * After a crash `recover` takes what was acknowledged and not worked off; whether an old offer is still worth answering
 * the engine decides by its timestamp. An event can reach the engine twice (two processes, a lost acknowledgement of the
 * database), never not at all; the engine knows its calls.
 */
export class WebhookReceiver {
  readonly #parts: ReceiverParts;
  readonly #lanes = new Lanes();
  readonly #messages: MessageIntake | undefined;
  /** Ids of the inbox that this process has taken, oldest first. */
  readonly #taken = new Set<string>();
  #inProgress = 0;
  #bytesInProgress = 0;
  #refusedVerifications = 0;
  #stopped = false;
  #cancelRetry: (() => void) | undefined;
  #counters: ReceiverCounters = {
    accepted: 0,
    duplicates: 0,
    wrongSignatures: 0,
    unreadable: 0,
    storeFailures: 0,
    problems: 0,
    offers: 0,
    terminates: 0,
    ignored: 0,
    failed: 0,
    recovered: 0,
    messages: 0,
    messageDuplicates: 0,
    messagesParked: 0,
    messagesRefused: 0,
  };

  constructor(parts: ReceiverParts) {
    this.#parts = parts;
    const { messages, clock, log } = parts;
    this.#messages = messages === undefined ? undefined : new MessageIntake({ ...messages, clock, log });
  }

  get counters(): ReceiverCounters {
    return this.#counters;
  }

  /** 200 with the bare challenge when the token is ours, 403 otherwise. */
  verify({ mode, token, challenge }: VerifyQuestion): HttpAnswer {
    const { verifyToken, log } = this.#parts;
    const ours = verifyToken !== undefined && verifyToken !== "" && sameSecret(token ?? "", verifyToken);
    // The challenge is repeated, so it must be a plain word; Meta's is a number.
    if (mode === "subscribe" && ours && /^[\w.-]{1,256}$/.test(challenge ?? "")) {
      log.info({}, "Meta verified the webhook address");
      return { status: 200, body: challenge ?? "" };
    }
    if (isPowerOfTwo(++this.#refusedVerifications))
      log.warn({ refused: this.#refusedVerifications }, "webhook verification refused");
    return { status: 403 };
  }

  /** Never rejects. 200 stored, 400 signed but no webhook, 401 not signed by Meta, 413 too long, 503 come back later. */
  async receive(rawBody: Buffer, signature: string | undefined): Promise<HttpAnswer> {
    if (rawBody.length > MAX_WEBHOOK_BYTES) return { status: 413 };
    if (!signatureFits(rawBody, signature, this.#parts.secrets)) return this.#refuseSignature(signature !== undefined);
    const receivedAt = this.#parts.clock.now();
    const reading = this.#read(rawBody, receivedAt);
    if (reading.unreadable) {
      this.#count({ unreadable: 1 });
      this.#parts.log.warn({ problems: reading.problems }, "signed webhook is unreadable");
      return { status: 400 };
    }
    if (this.#inProgress >= MAX_IN_PROGRESS || this.#bytesInProgress >= MAX_BYTES_IN_PROGRESS || this.#stopped)
      return this.#comeBack("too many webhooks in progress");
    this.#inProgress++;
    this.#bytesInProgress += rawBody.length;
    let open = true;
    const finish = () => {
      if (!open) return;
      open = false;
      this.#inProgress--;
      this.#bytesInProgress -= rawBody.length;
    };
    try {
      const kept = needsInbox(reading) ? await this.#keep(rawBody, reading, finish) : undefined;
      const refused = await this.#takeMessages(reading.messages, receivedAt);
      if (refused > 0 && kept === undefined) await this.#keepRefused(rawBody, refused);
      if (kept === undefined) finish();
      return { status: 200 };
    } catch (error) {
      finish();
      return this.#comeBack(textOf(error));
    }
  }

  /**
   * Hands messages to the router, before Meta is answered: what is not committed there is not taken, and Meta brings all of it
   * again. Resolves with the number that will never be taken.
   */
  async #takeMessages(drafts: readonly EventDraft[], receivedAt: Instant): Promise<number> {
    if (this.#messages === undefined || drafts.length === 0) return 0;
    const { accepted, duplicates, parked, refused } = await this.#messages.take(drafts, receivedAt);
    this.#count({
      messages: accepted,
      messageDuplicates: duplicates,
      messagesParked: parked,
      messagesRefused: refused,
    });
    if (parked > 0) this.#parts.log.warn({ parked }, "messages of a channel that no tenant has were parked");
    return refused;
  }

  /** The only copy of a message that could not become an event. */
  async #keepRefused(rawBody: Buffer, refused: number): Promise<void> {
    const { id } = await this.#parts.inbox.accept("meta", rawBody);
    this.#remember(id);
    this.#parts.inbox.done(id, `${refused} messages were refused by the store`);
  }

  #read(body: Buffer, receivedAt: Instant): WebhookReading {
    return readWebhook(body, receivedAt, { messages: this.#messages !== undefined });
  }

  /** Stores the body and starts to work it off. */
  async #keep(rawBody: Buffer, reading: WebhookReading, finish: () => void): Promise<string> {
    const { id, duplicate } = await this.#parts.inbox.accept("meta", rawBody);
    this.#count(duplicate ? { duplicates: 1 } : { accepted: 1 });
    // A duplicate that this process has not taken may be one whose storing seemed to fail, so it is taken.
    if (this.#remember(id)) void this.#workOff(id, reading).finally(finish);
    else finish();
    return id;
  }

  /**
   * Takes what was stored and not worked off before the process died, oldest first. Called once at the start; while the
   * database is away it tries again by itself. Resolves with the number of webhooks that were taken now.
   */
  async recover(): Promise<number> {
    const { inbox, clock, log } = this.#parts;
    let recovered = 0;
    try {
      for (;;) {
        if (this.#stopped) return recovered;
        // What is being worked off, or was a moment ago, is still in the list; the list must reach beyond it.
        const known = Math.min(recovered + this.#inProgress, MAX_RECOVERY_LIST);
        const items = await inbox.unprocessed(RECOVERY_BATCH + known);
        const fresh = items.filter(({ id }) => this.#remember(id));
        if (fresh.length === 0) break;
        for (const item of fresh) await this.#recoverOne(item);
        recovered += fresh.length;
      }
    } catch (error) {
      log.warn({ error: textOf(error), retry_ms: RECOVERY_RETRY_MS }, "webhooks cannot be recovered yet");
      this.#cancelRetry = this.#stopped ? undefined : clock.after(RECOVERY_RETRY_MS, () => void this.recover());
    }
    if (recovered > 0) log.info({ recovered }, "took webhooks that were left over");
    return recovered;
  }

  /** Takes nothing more and resolves when what was taken is handed over. May be called twice. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    await this.#lanes.idle();
  }

  async #recoverOne({ id, body, receivedAt }: InboxItem): Promise<void> {
    this.#count({ recovered: 1 });
    await this.#workOff(id, this.#read(body, receivedAt));
  }

  /** Hands the events over, those of one call in order, those of different calls side by side. Never rejects. */
  async #workOff(id: string, { events, problems }: WebhookReading): Promise<void> {
    if (problems.length > 0) {
      this.#count({ problems: problems.length });
      this.#parts.log.warn({ inbox_id: id, problems }, "webhook was understood in part");
    }
    const failures = await Promise.all(events.map((event) => this.#lanes.run(laneOf(event), () => this.#take(event))));
    const failure = failures.find((text) => text !== undefined) ?? problems[0];
    try {
      this.#parts.inbox.done(id, failure?.slice(0, MAX_ERROR_LENGTH));
    } catch (error) {
      this.#parts.log.error({ inbox_id: id, error: textOf(error) }, "inbox did not take the end of a webhook");
    }
  }

  /** Resolves with what went wrong, if anything did. */
  async #take(event: MetaCallEvent): Promise<string | undefined> {
    this.#count(countOf(event));
    if (event.type === "ignored") this.#parts.log.debug({ what: event.what }, "webhook event ignored");
    try {
      await this.#parts.engine.take(event);
      return undefined;
    } catch (error) {
      this.#count({ failed: 1 });
      this.#parts.log.error({ event: event.type, error: textOf(error) }, "engine did not take a webhook event");
      return `${event.type}: ${textOf(error)}`;
    }
  }

  #refuseSignature(present: boolean): HttpAnswer {
    this.#count({ wrongSignatures: 1 });
    const refused = this.#counters.wrongSignatures;
    if (isPowerOfTwo(refused))
      this.#parts.log.warn({ refused, signature_present: present }, "webhook with a wrong signature");
    return { status: 401 };
  }

  #comeBack(error: string): HttpAnswer {
    this.#count({ storeFailures: 1 });
    this.#parts.log.warn({ error }, "webhook could not be stored, Meta will repeat it");
    return { status: 503 };
  }

  /** False when this process has it already. */
  #remember(id: string): boolean {
    if (this.#taken.has(id)) return false;
    this.#taken.add(id);
    const oldest = this.#taken.size > MAX_REMEMBERED ? this.#taken.values().next().value : undefined;
    if (oldest !== undefined) this.#taken.delete(oldest);
    return true;
  }

  #count(more: Partial<ReceiverCounters>): void {
    const sums = Object.entries(more).map(([name, by]) => [name, this.#counters[name as keyof ReceiverCounters] + by]);
    this.#counters = { ...this.#counters, ...Object.fromEntries(sums) };
  }
}

/** Messages have a durable place of their own; a body goes to the inbox for its calls, and where it was not understood. */
function needsInbox({ events, messages, problems }: WebhookReading): boolean {
  return messages.length === 0 || events.length > 0 || problems.length > 0;
}

function countOf(event: MetaCallEvent): Partial<ReceiverCounters> {
  if (event.type === "offer") return { offers: 1 };
  return event.type === "terminate" ? { terminates: 1 } : { ignored: 1 };
}

/** Events of one call share a lane; those without a call have one of their own. */
function laneOf(event: MetaCallEvent): string {
  return (event.type === "offer" ? event.offer.wacid : event.wacid) ?? "";
}

/** Anybody can send nonsense, so only the 1st, 2nd, 4th, 8th, … is written down. */
function isPowerOfTwo(count: number): boolean {
  return Number.isInteger(Math.log2(count));
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : "unknown";
}
