/** What one daemon opens when the configuration says nothing. */
export const DEFAULT_CONNECTIONS = 28;

/** With fewer, some pool would have none. */
export const MIN_CONNECTIONS = 10;

/** The heartbeat's lock and LISTEN belong to a session each. */
const SESSIONS = 2;

/** How many connections each pool of a daemon may open. */
export interface ConnectionShares {
  /** The journal, webhooks, intake and the API. */
  readonly common: number;
  /** The queue: statements that finish, and additions. */
  readonly workers: number;
  /** The queue: statements that end routing, that release and that claim. */
  readonly hurriedWorkers: number;
  /** Contacts and conversations, which workers write to one by one. */
  readonly inbox: number;
}

/**
 * Shares out the connections that a daemon may open, all in all, at the ratio 8 : 3 : 7 : 8. No pool needs more than one to get on: what
 * has to be done together is one statement, so that nobody waits for a second connection while holding a first.
 */
export function shareConnections(total: number): ConnectionShares {
  const rest = Math.max(total, MIN_CONNECTIONS) - SESSIONS;
  const part = (weight: number) => Math.max(1, Math.floor((rest * weight) / (DEFAULT_CONNECTIONS - SESSIONS)));
  const others = { workers: part(3), hurriedWorkers: part(7), inbox: part(8) };
  return { common: rest - others.workers - others.hurriedWorkers - others.inbox, ...others };
}
