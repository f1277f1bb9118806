/**
 * How the simulated Meta behaves where the real one is known to vary. All of it is set on the fly, for all calls that start
 * afterwards or for one of them. The names of the rules are those of the table in `rules.ts` and in the README.
 */
export interface Modes {
  /** W2. A `wrong` or `missing` signature comes from a stranger: it is sent once and must be refused. */
  readonly signature: "right" | "wrong" | "missing";
  /** W6. Each event is delivered this many more times. */
  readonly duplicates: number;
  /** W6. The connect is held back until the terminate was delivered. */
  readonly terminateFirst: boolean;
  /** W6. The connect carries a timestamp this many seconds old. */
  readonly staleS: number;
  /** W6. `calls`: the connects of two calls share a body; `entries`: the same in two entries; `messages`: a message rides along. */
  readonly batch: "single" | "two_calls" | "two_entries" | "with_message";
  /** W6. An event that nobody knows is sent before the connect. */
  readonly unknownEvent: boolean;
  /** W6. Each body has one more change whose `field` nobody knows. */
  readonly unknownField: boolean;
  /** W11. `bsuid_only`: no `from` and no `wa_id`. */
  readonly caller: "number" | "bsuid_only";
  /** W11. */
  readonly contacts: "present" | "absent";
  /** Whether `direction` is there; some of Meta's samples lack it. */
  readonly direction: "present" | "absent";
  /** W4. How `status` of a terminate is written. */
  readonly status: "string" | "array" | "mixed_case";
  /** W15. Where the errors of a failed call are. */
  readonly errors: "both" | "value_only" | "code_and_title";
  /** Which of the two known shapes the offer has. */
  readonly offerShape: "current" | "older";
  /** M3. `unreachable`: a candidate of the documentation prefix that leads nowhere, as for a host without IPv6. */
  readonly ipv6: "none" | "unreachable" | "reachable";
  /** G6. One source reports that unknown fields are refused. */
  readonly unknownBodyFields: "refuse" | "ignore";
  /** G11. The real Meta may take `offer` in an answer and then never connect. */
  readonly wrongSdpType: "refuse" | "never_connect";
  /** G3. Versions before v17.0. */
  readonly oldVersion: "warn" | "refuse";
}

export const defaultModes: Modes = {
  signature: "right",
  duplicates: 0,
  terminateFirst: false,
  staleS: 0,
  batch: "single",
  unknownEvent: false,
  unknownField: false,
  caller: "number",
  contacts: "present",
  direction: "present",
  status: "string",
  errors: "both",
  offerShape: "current",
  ipv6: "unreachable",
  unknownBodyFields: "refuse",
  wrongSdpType: "refuse",
  oldVersion: "warn",
};
