/** A closed RTP port is not used again for this long, so that a new call cannot hear the old one's late packets. */
export const PORT_DRAIN_MS = 30_000;

/** RTP ports towards the PBX: even ones, each with the odd one after it for RTCP (RFC 3550 §11). */
export class PortPool {
  readonly #now: () => number;
  /** In the order in which they are used again; the one that rested longest is the first. */
  readonly #free: { readonly port: number; readonly restedAt: number }[] = [];

  /** From `first` to `last`, both included. `now` in milliseconds. */
  constructor(first: number, last: number, now: () => number) {
    this.#now = now;
    for (let port = first + (first % 2); port < last; port += 2) this.#free.push({ port, restedAt: 0 });
  }

  /** undefined when all are in use, or not yet quiet. */
  take(): number | undefined {
    const next = this.#free[0];
    if (next === undefined || next.restedAt > this.#now()) return undefined;
    this.#free.shift();
    return next.port;
  }

  /** Takes a port back, to rest. */
  giveBack(port: number): void {
    this.#free.push({ port, restedAt: this.#now() + PORT_DRAIN_MS });
  }
}
