import type { GraphError } from "./errors.ts";
import type { Modes } from "./modes.ts";
import type { BusinessNumber, CallingSettings } from "./numbers.ts";
import type { SdpView } from "./sdp-view.ts";

export const actions = ["connect", "pre_accept", "accept", "reject", "terminate"] as const;
export type Action = (typeof actions)[number];

/** What is known of a call when a request asks for it. */
export interface KnownCall {
  readonly phoneNumberId: string;
  readonly state: "offered" | "pre_accepted" | "accepted" | "ended";
  /** It rang out before anybody accepted. */
  readonly rangOut: boolean;
  /** The SDP of `pre_accept`. */
  readonly answer: string | undefined;
}

/** `POST /<version>/<id>/calls`, read as far as it can be read. */
export interface CallsRequest {
  readonly version: string;
  readonly phoneNumberId: string;
  /** The bearer token. */
  readonly token: string | undefined;
  /** undefined when the body is not a JSON object. */
  readonly fields: Readonly<Record<string, unknown>> | undefined;
  /** In lower case; undefined when it is none of the five. */
  readonly action: Action | undefined;
  readonly number: BusinessNumber | undefined;
  readonly settings: CallingSettings | undefined;
  readonly call: KnownCall | undefined;
  readonly session: { readonly sdpType: unknown; readonly sdp: unknown } | undefined;
  /** `session.sdp`, or an empty view. */
  readonly view: SdpView;
  readonly tokens: ReadonlySet<string>;
  readonly modes: Modes;
}

/** One row of the table. */
export interface GraphRule {
  readonly id: string;
  readonly what: string;
  /** Absent: all of them. */
  readonly actions?: readonly Action[];
  /** undefined when the rule is kept, otherwise the exact reason, which goes to `error_data.details`. */
  check(request: CallsRequest): string | undefined;
  /**
   * What a breach gets. `media`: no API error, but media never connects. `warning`: only a line in the log.
   */
  readonly breach: GraphError | ((request: CallsRequest) => GraphError) | "media" | "warning";
  /** Meta documents that this is an error, but not its number. */
  readonly inferred?: true;
}

export interface Breach {
  readonly rule: string;
  readonly details: string;
  /** undefined for a warning, and for what only breaks the media. */
  readonly error?: GraphError;
  readonly effect: "refused" | "media" | "warning";
}

/** What becomes of a request: all breaches up to and including the first that is refused. */
export function judge(rules: readonly GraphRule[], request: CallsRequest): readonly Breach[] {
  const breaches: Breach[] = [];
  for (const rule of rules) {
    if (rule.actions !== undefined && (request.action === undefined || !rule.actions.includes(request.action)))
      continue;
    const details = rule.check(request);
    if (details === undefined) continue;
    if (typeof rule.breach === "string") {
      breaches.push({ rule: rule.id, details, effect: rule.breach });
      continue;
    }
    const error = typeof rule.breach === "function" ? rule.breach(request) : rule.breach;
    breaches.push({ rule: rule.id, details, error, effect: "refused" });
    break;
  }
  return breaches;
}
