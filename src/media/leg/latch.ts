import { isUnspecified } from "#core/sdp/address.ts";
import type { Latching } from "#engine/ports.ts";
import { canonicalAddress } from "#media/transport/address.ts";

/**
 * How long after an address was announced its packets may still turn out to come from another one (NAT, several
 * interfaces). Later nobody but the announced address can become the source: a stranger who finds the port is too late.
 */
const LATCH_WINDOW_MS = 10_000;

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/**
 * Decides from where RTP of the PBX is taken, and where ours goes (symmetric RTP, RFC 4961).
 *
 * `strict` takes packets of the announced address only. `auto` also latches to the first other source of valid packets, within
 * the window; a packet from the announced address still wins until the window ends. Then the source stays, until a new
 * description announces another address.
 */
export class Latch {
  strangers = 0;
  #mode: Latching;
  #announced: Endpoint | undefined;
  /** The source; port 0 while there is none. */
  #address = "";
  #port = 0;
  #until = 0;

  constructor(mode: Latching) {
    this.#mode = mode;
  }

  setMode(mode: Latching): void {
    this.#mode = mode;
  }

  /** What the PBX's description says. The same as before changes nothing. */
  announce(address: string, port: number, at: number): void {
    const canonical = canonicalAddress(address);
    if (this.#announced?.address === canonical && this.#announced.port === port) return;
    this.#announced = { address: canonical, port };
    this.#port = 0;
    this.#until = at + LATCH_WINDOW_MS;
  }

  /** Where our packets go; undefined while there is nowhere. */
  get target(): Endpoint | undefined {
    if (this.#port !== 0) return { address: this.#address, port: this.#port };
    const announced = this.#announced;
    return announced === undefined || announced.port === 0 || isUnspecified(announced.address) ? undefined : announced;
  }

  /** Whether a packet comes from where all the others came from. */
  isSource(address: string, port: number): boolean {
    return port === this.#port && address === this.#address;
  }

  /** Whether somebody who just sent a valid packet of the session is the PBX from now on. Otherwise counts a stranger. */
  admit(address: string, port: number, at: number): boolean {
    const announced = this.#announced;
    const open = at <= this.#until;
    if (announced !== undefined && announced.port === port && announced.address === address) {
      if (this.#port === 0 || open) return this.#settle(address, port, true);
    } else if (this.#mode === "auto" && this.#port === 0 && announced !== undefined && open) {
      return this.#settle(address, port, false);
    }
    this.strangers += 1;
    return false;
  }

  #settle(address: string, port: number, forGood: boolean): true {
    this.#address = address;
    this.#port = port;
    if (forGood) this.#until = 0;
    return true;
  }
}

const LOOPBACK = /^127\.|^::1$/;
/** RFC 1918, RFC 3927, RFC 6598, RFC 4193, RFC 4291 §2.5.6. */
const PRIVATE =
  /^10\.|^192\.168\.|^172\.(?:1[6-9]|2\d|3[01])\.|^169\.254\.|^100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|^f[cd]|^fe[89ab]/i;

/** Whether an announced address cannot be reached from ours: unspecified, or more private than our own. */
export function isSuspectAddress(announced: string, ours: string): boolean {
  if (isUnspecified(announced)) return true;
  if (LOOPBACK.test(announced)) return !LOOPBACK.test(ours);
  return PRIVATE.test(announced) && !PRIVATE.test(ours) && !LOOPBACK.test(ours);
}
