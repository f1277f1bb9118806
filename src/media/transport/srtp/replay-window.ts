/**
 * Which of the last 64 packet indexes were seen (RFC 3711 §3.3.2). Bits are relative to the highest index: bit 0 of `low` is
 * the highest itself, bit 31 of `high` the one 63 before it.
 */
export class ReplayWindow {
  /** −1 before the first packet. Indexes are at most 2^48 − 1 and so exact as numbers. */
  #highest = -1;
  #low = 0;
  #high = 0;

  get highest(): number {
    return this.#highest;
  }

  /** True when `index` was not seen and is not too old to know. */
  isNew(index: number): boolean {
    const age = this.#highest - index;
    if (age < 0) return true;
    if (age >= 64) return false;
    return age < 32 ? ((this.#low >>> age) & 1) === 0 : ((this.#high >>> (age - 32)) & 1) === 0;
  }

  /** Marks `index` as seen; to be called only after its packet was authenticated. */
  add(index: number): void {
    const ahead = index - this.#highest;
    if (ahead <= 0) {
      const age = -ahead;
      if (age < 32) this.#low |= 1 << age;
      else if (age < 64) this.#high |= 1 << (age - 32);
      return;
    }
    if (this.#highest < 0 || ahead >= 64) {
      this.#low = 0;
      this.#high = 0;
    } else if (ahead >= 32) {
      this.#high = ahead === 32 ? this.#low : this.#low << (ahead - 32);
      this.#low = 0;
    } else {
      this.#high = (this.#high << ahead) | (this.#low >>> (32 - ahead));
      this.#low <<= ahead;
    }
    this.#low |= 1;
    this.#highest = index;
  }
}
