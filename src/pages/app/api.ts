/** The daemon's API, as the pages use it. Field names are those of the wire. */

export interface Channel {
  readonly id: string;
  readonly provider: string;
  readonly channel_id: string;
  readonly name?: string;
  readonly enabled: boolean;
  readonly state: string;
  readonly phone?: string;
  readonly webhook_configured: boolean;
}

export interface Conversation {
  readonly id: string;
  readonly channel_id: string;
  readonly contact: {
    readonly name?: string;
    readonly identities: readonly { readonly kind: string; readonly address: string }[];
  };
  readonly state: "open" | "closed";
  readonly unread: number;
  readonly assignee?: string;
  readonly provider: string;
  readonly last_message?: { readonly at: string; readonly direction: string; readonly preview: string };
  readonly last_inbound_at?: string;
}

export interface Content {
  readonly type: string;
  readonly [field: string]: unknown;
}

export interface Message {
  readonly id: string;
  readonly direction: "in" | "out";
  readonly content: Content;
  readonly state: string;
  readonly error?: { readonly code: string; readonly message: string };
  readonly author?: string;
  readonly event_id?: string;
  readonly at: string;
}

export interface LoggedEvent {
  readonly event_id: string;
  readonly trace_id: string;
  readonly type: string;
  readonly source_system: string;
  readonly external_id: string;
  readonly status: string;
  readonly attempts: number;
  readonly conflicts: number;
  readonly last_error?: string;
  readonly occurred_at: string;
  readonly received_at: string;
  readonly payload?: unknown;
  readonly raw?: unknown;
}

export interface Effect {
  readonly key: string;
  readonly rule?: { readonly id: string; readonly version: number; readonly name?: string };
  readonly step: string;
  readonly kind: string;
  readonly state: string;
  readonly attempts: number;
  readonly detail: unknown;
  readonly response?: unknown;
  readonly error?: string;
  readonly planned_at: string;
}

export interface Delivery {
  readonly id: string;
  readonly endpoint_id: string;
  readonly event_id: string;
  readonly effect_key?: string;
  readonly state: string;
  readonly attempts: readonly {
    readonly at: string;
    readonly took_ms: number;
    readonly status?: number;
    readonly error?: string;
    readonly response?: string;
  }[];
  readonly created_at: string;
  readonly next_at?: string;
}

export interface Trace {
  readonly event: LoggedEvent;
  readonly conflicts: readonly { readonly received_at: string; readonly payload: unknown }[];
  readonly effects: readonly Effect[];
  readonly deliveries: readonly Delivery[];
  readonly messages: readonly Message[];
}

export interface Endpoint {
  readonly id: string;
  readonly url: string;
  readonly name?: string;
  readonly events: readonly string[];
  readonly enabled: boolean;
  readonly disabled_reason?: string;
  readonly failing_since?: string;
}

export interface Action {
  readonly type: string;
  readonly [field: string]: unknown;
}

export interface Hours {
  readonly timezone: string;
  readonly applies: "inside" | "outside";
  readonly weekly: readonly { readonly days: readonly number[]; readonly from: string; readonly to: string }[];
  readonly holidays?: readonly string[];
}

export interface RuleDraft {
  readonly name: string;
  readonly enabled: boolean;
  readonly priority: number;
  readonly event_type: string;
  readonly provider?: string;
  readonly channel_id?: string;
  readonly condition?: string;
  readonly hours?: Hours;
  readonly actions: readonly Action[];
  readonly on_match: "stop" | "continue";
}

export interface Rule extends RuleDraft {
  readonly id: string;
  readonly version: number;
  readonly updated_at: string;
  readonly updated_by: string;
}

export interface Report {
  readonly verdicts: readonly {
    readonly rule_id: string;
    readonly name: string;
    readonly matched: boolean;
    readonly reason: string;
    readonly detail?: string;
  }[];
  readonly effects: readonly { readonly rule_id: string; readonly action: Action; readonly problem?: string }[];
}

/** A refusal of the daemon, in its own words. */
export class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Told when the session has ended. */
export const signedOut = new EventTarget();

/** One request. Throws a Refusal. */
export async function api<T>(
  method: string,
  path: string,
  body?: unknown,
  more: Readonly<Record<string, string>> = {},
): Promise<T> {
  const response = await fetch(path, {
    method,
    // By this header the daemon knows its own pages; other sites cannot send it.
    headers: { "x-ponte-page": "1", ...(body === undefined ? {} : { "content-type": "application/json" }), ...more },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  }).catch(() => {
    throw new Refusal(0, "unreachable", "ponte cannot be reached. Is it running?");
  });
  const text = await response.text();
  if (response.ok) return (text === "" ? undefined : JSON.parse(text)) as T;
  if (response.status === 401 && path !== "/session") signedOut.dispatchEvent(new Event("now"));
  const { error } = parsed(text);
  const hint = error?.hint === undefined ? "" : ` ${error.hint}`;
  throw new Refusal(response.status, error?.code ?? "", `${error?.message ?? "ponte gave no usable answer."}${hint}`);
}

function parsed(text: string): { readonly error?: { code: string; message: string; hint?: string } } {
  try {
    return JSON.parse(text) as object;
  } catch {
    // A proxy in between may answer with a page of its own.
    return {};
  }
}
