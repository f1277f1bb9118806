import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { Clock, Log } from "#engine/ports.ts";
import type { TrunkOptions } from "./trunk.ts";

/** How often the name of a trunk is looked up besides at every call: a PBX that moved can tell us something this soon. */
const LOOK_UP_EVERY_MS = 60_000;

/** A name without an address is looked up this often. */
const RETRY_MS = 5_000;

/** Calls placed to an address that the name no longer has are still hung up from there; longer ones are rare. */
const KEEP_MS = 4 * 3_600_000;

/** Addresses of one trunk; a name that changes faster is a mistake, and its oldest are forgotten. */
const MAX_ADDRESSES = 64;

/** Addresses of a name; fails when it has none. */
export type LookUp = (host: string) => Promise<readonly string[]>;

const systemLookUp: LookUp = async (host) => (await lookup(host, { all: true })).map(({ address }) => address);

export interface TrunkAddressesParts {
  readonly trunks: readonly Pick<TrunkOptions, "name" | "host">[];
  readonly clock: Clock;
  readonly log: Log;
  readonly lookUp?: LookUp;
  /** All addresses of all trunks, at the start and whenever they are others. */
  readonly onChange?: (addresses: readonly string[]) => void;
}

interface Host {
  readonly trunk: string;
  readonly host: string;
  /** When the name last had each address; literals have themselves for ever. */
  readonly seenAt: Map<string, number>;
  looking: boolean;
  /** The last look-up failed, and that was told. */
  missed: boolean;
  cancelTimer: () => void;
}

/** Knows the addresses of the trunks. A name may have none at the start, and may move at any time. */
export class TrunkAddresses {
  readonly #parts: TrunkAddressesParts;
  readonly #lookUp: LookUp;
  readonly #hosts: ReadonlyMap<string, Host>;
  #running = false;

  constructor(parts: TrunkAddressesParts) {
    this.#parts = parts;
    this.#lookUp = parts.lookUp ?? systemLookUp;
    this.#hosts = new Map(
      parts.trunks.map(({ name, host }) => {
        const seenAt = new Map<string, number>(isIP(host) === 0 ? [] : [[host, Number.POSITIVE_INFINITY]]);
        return [name, { trunk: name, host, seenAt, looking: false, missed: false, cancelTimer: () => undefined }];
      }),
    );
  }

  /** Resolves when each name was looked up once, found or not. */
  async start(): Promise<void> {
    this.#running = true;
    this.#parts.onChange?.(this.all());
    await Promise.all([...this.#hosts.keys()].map((trunk) => this.look(trunk)));
  }

  stop(): void {
    this.#running = false;
    for (const host of this.#hosts.values()) host.cancelTimer();
  }

  all(): readonly string[] {
    return [...new Set([...this.#hosts.values()].flatMap(({ seenAt }) => [...seenAt.keys()]))];
  }

  /** Whether a request from this address may come from one of our PBXs. */
  knows(address: string): boolean {
    return [...this.#hosts.values()].some(({ seenAt }) => seenAt.has(address));
  }

  /** Looks the trunk's name up now: a call goes there, and what comes back must be let in. */
  async look(trunk: string): Promise<void> {
    const host = this.#hosts.get(trunk);
    if (host === undefined || isIP(host.host) !== 0 || host.looking || !this.#running) return;
    host.looking = true;
    host.cancelTimer();
    let found = false;
    try {
      const addresses = await this.#lookUp(host.host);
      found = addresses.length > 0;
      if (this.#running) this.#note(host, addresses);
    } catch (error) {
      const facts = { trunk, host: host.host, error: String(error) };
      if (host.missed) this.#parts.log.debug(facts, "trunk host still not found");
      else this.#parts.log.warn(facts, "trunk host not found");
    } finally {
      host.looking = false;
      host.missed = !found;
      if (this.#running) {
        host.cancelTimer = this.#parts.clock.after(
          found ? LOOK_UP_EVERY_MS : RETRY_MS,
          () => void this.look(host.trunk),
        );
      }
    }
  }

  #note({ seenAt }: Host, addresses: readonly string[]): void {
    const before = [...this.all()].toSorted().join();
    const now = this.#parts.clock.now();
    for (const address of addresses) {
      seenAt.delete(address);
      seenAt.set(address, now);
    }
    // In the order in which they were last seen.
    for (const [address, at] of seenAt) {
      if (now - at > KEEP_MS || seenAt.size > MAX_ADDRESSES) seenAt.delete(address);
    }
    if ([...this.all()].toSorted().join() !== before) this.#parts.onChange?.(this.all());
  }
}
