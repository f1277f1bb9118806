import type { Entry } from "#sandbox/meta/log.ts";
import type { TimelineLine } from "./protocol.ts";

/** An event of ponte's own timeline, as the phone page wants it. */
export interface WatchedEvent {
  /** ponte's id of the call. */
  readonly callId: string;
  /** Meta's id of the call; it is enough when one event of each call has it. */
  readonly wacid?: string;
  readonly at: number;
  /** `call.received`, `leg_answered`, … */
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Subscribes to ponte's events; returns what unsubscribes. */
export type Watch = (listener: (event: WatchedEvent) => void) => () => void;

/** What the simulated Meta saw, in the words of the page; undefined for what has no place there. */
export function lineOfEntry(
  entry: Entry,
): { readonly wacids: readonly string[]; readonly line: TimelineLine } | undefined {
  const line = (text: string, level: TimelineLine["level"], detail?: string): TimelineLine => ({
    at: entry.at,
    source: "whatsapp",
    text,
    level,
    ...(detail === undefined ? {} : { detail }),
  });
  switch (entry.kind) {
    case "webhook": {
      const good = entry.status >= 200 && entry.status < 300;
      const text = `webhook ${entry.event} → ${entry.status === 0 ? "no answer" : entry.status}`;
      return { wacids: entry.wacids, line: line(text, good ? "good" : "bad", `${Math.round(entry.tookMs)} ms`) };
    }
    case "request": {
      if (entry.wacid === undefined) return undefined;
      const text = `${entry.action ?? entry.method} → ${entry.status === 0 ? "no answer" : entry.status}`;
      return { wacids: [entry.wacid], line: line(text, entry.status === 200 ? "good" : "bad", entry.details) };
    }
    case "violation":
      if (entry.wacid === undefined) return undefined;
      return { wacids: [entry.wacid], line: line(`rule ${entry.rule} broken`, "bad", entry.text) };
    case "call":
      return { wacids: [entry.wacid], line: line(steps[entry.step] ?? entry.step, "normal", entry.text) };
    case "verification":
      return undefined;
  }
}

const steps: Readonly<Record<string, string>> = {
  placed: "call placed",
  ringing: "the phone shows “Ringing”",
  media_connected: "media connected (ICE and DTLS)",
  first_rtp: "first audio packet of the business",
  picked_up: "the timer starts",
  ended: "call ended",
};

/** ponte's own event. */
export function lineOfEvent(event: WatchedEvent): TimelineLine {
  const facts = Object.entries(event.data)
    .filter(([, value]) => ["string", "number", "boolean"].includes(typeof value))
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(" · ");
  const bad = /fail|reject|error|missed/.test(event.type);
  return {
    at: event.at,
    source: "ponte",
    text: event.type,
    level: bad ? "bad" : "normal",
    ...(facts === "" ? {} : { detail: facts.slice(0, MAX_DETAIL) }),
  };
}

/** A line on a phone has room for no more characters. */
const MAX_DETAIL = 200;
