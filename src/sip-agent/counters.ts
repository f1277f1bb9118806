/** Everything that the agent counts, with its meaning. Counts only grow. */
export const COUNTERS = {
  messages_received: "SIP messages that arrived, of any kind",
  messages_malformed: "messages that could not be read",
  strangers_dropped: "requests and TCP connections from addresses that are not peers",
  responses_unmatched: "responses that belong to no transaction",
  acks_unmatched: "ACKs that belong to no transaction or dialog",
  requests_repeated: "repeated requests that a transaction absorbed",
  requests_refused: "new requests answered 503 because a limit was reached or no application wanted them",
  requests_received: "new requests accepted into a transaction",
  requests_sent: "requests sent for an application, or by the agent itself",
  transactions_timed_out: "transactions that ended without an answer or ACK",
  transport_errors: "messages that could not be sent",
  forks_ended: "second 2xx answers of a fork that were acknowledged and ended",
  sessions_expired: "dialogs ended because a session timer ran out (RFC 4028)",
  acks_missed: "calls ended because the ACK for our 2xx never came",
  streams_overflowed: "SIP connections closed because a message was too long",
  connections_refused: "SIP connections refused because there were too many",
  clients_authenticated: "control connections that presented the secret",
  clients_refused: "control connections closed for a wrong secret, a broken frame, or slowness",
  clients_lost: "authenticated control connections that ended",
  dialogs_orphaned: "dialogs ended because their application did not come back",
} as const;

export type CounterName = keyof typeof COUNTERS;

export class Counters {
  readonly #values = new Map<CounterName, number>();

  add(name: CounterName): void {
    this.#values.set(name, (this.#values.get(name) ?? 0) + 1);
  }

  snapshot(): Readonly<Record<CounterName, number>> {
    const names = Object.keys(COUNTERS) as CounterName[];
    return Object.fromEntries(names.map((name) => [name, this.#values.get(name) ?? 0])) as Record<CounterName, number>;
  }
}
