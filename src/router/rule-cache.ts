import type { Rule } from "#core/rule/rule.ts";
import type { RuleStorePort } from "./ports.ts";
import { SharedReads } from "./shared-reads.ts";

/** Tenants whose rules are kept; more are read again. */
const MAX_TENANTS = 1_000;

interface Kept {
  readonly revision: string;
  readonly rules: readonly Rule[];
}

/** The rules of tenants as they are now: their revision is asked for each time, they themselves only when it has changed. */
export class RuleCache {
  readonly #store: RuleStorePort;
  readonly #reads: SharedReads<readonly Rule[]>;
  readonly #kept = new Map<string, Kept>();

  constructor(store: RuleStorePort) {
    this.#store = store;
    this.#reads = new SharedReads((tenantId) => this.#read(tenantId));
  }

  rules(tenantId: string): Promise<readonly Rule[]> {
    return this.#reads.get(tenantId);
  }

  /** The revision comes first: rules that change in between are then read again next time, never kept too long. */
  async #read(tenantId: string): Promise<readonly Rule[]> {
    const revision = await this.#store.revision(tenantId);
    const kept = this.#kept.get(tenantId);
    if (kept?.revision === revision) return kept.rules;
    const rules = await this.#store.list(tenantId);
    if (this.#kept.size >= MAX_TENANTS) this.#kept.clear();
    this.#kept.set(tenantId, { revision, rules });
    return rules;
  }
}
