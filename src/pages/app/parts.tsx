import type { ComponentChildren } from "preact";

/** Small things that all pages show in one way. */

const minute = 60_000;

/** "now", "4 min", "13:05", "Tue", "17 Oct". */
export function ago(iso: string): string {
  const at = new Date(iso);
  const age = Date.now() - at.getTime();
  if (age < minute) return "now";
  if (age < 60 * minute) return `${Math.floor(age / minute)} min`;
  if (at.toDateString() === new Date().toDateString())
    return at.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
  if (age < 6 * 24 * 60 * minute) return at.toLocaleDateString(undefined, { weekday: "short" });
  return at.toLocaleDateString(undefined, { day: "numeric", month: "short" });
}

export function When({ at }: { readonly at: string }) {
  return (
    <time dateTime={at} title={new Date(at).toLocaleString()}>
      {ago(at)}
    </time>
  );
}

const tones: Readonly<Record<string, string>> = {
  connected: "good",
  processed: "good",
  delivered: "good",
  done: "good",
  read: "good",
  matched: "good",
  working: "good",
  failing: "bad",
  dead: "bad",
  failed: "bad",
  disconnected: "bad",
  condition_error: "bad",
  unknown: "warn",
  qr: "warn",
  connecting: "warn",
  pending: "warn",
  routed: "warn",
  planned: "warn",
  started: "warn",
};

const words: Readonly<Record<string, string>> = { qr: "scan the code", done: "done", not_reached: "not reached" };

export function State({ of }: { readonly of: string }) {
  return <span class={`state ${tones[of] ?? "calm"}`}>{words[of] ?? of.replaceAll("_", " ")}</span>;
}

export function Problem({ text }: { readonly text: string | undefined }) {
  return text === undefined ? null : (
    <p class="problem" role="alert">
      {text}
    </p>
  );
}

/** JSON, folded away unless it is short. */
export function Json({ title, value }: { readonly title: string; readonly value: unknown }) {
  if (value === undefined || (typeof value === "object" && value !== null && Object.keys(value).length === 0))
    return null;
  const text = JSON.stringify(value, null, 2);
  return (
    <details class="json" open={text.length < 400}>
      <summary>{title}</summary>
      <pre>{text}</pre>
    </details>
  );
}

export function Page({
  title,
  about,
  tools,
  children,
}: {
  readonly title: string;
  readonly about: string;
  readonly tools?: ComponentChildren;
  readonly children: ComponentChildren;
}) {
  return (
    <section class="page">
      <header class="head">
        <div>
          <h1>{title}</h1>
          <p>{about}</p>
        </div>
        {tools === undefined ? null : <div class="tools">{tools}</div>}
      </header>
      {children}
    </section>
  );
}

export function Empty({ children }: { readonly children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

/** What is shown until the first answer: nothing moves, so that a quick answer does not flicker. */
export function Waiting({ error }: { readonly error: string | undefined }) {
  return error === undefined ? <p class="empty" aria-busy="true" /> : <Problem text={error} />;
}

export function Field({ label, children }: { readonly label: string; readonly children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is the child.
    <label class="field">
      <span>{label}</span>
      {children}
    </label>
  );
}

/** The text of whatever was typed into. */
export const typed = (event: Event): string => (event.currentTarget as HTMLInputElement).value;
export const ticked = (event: Event): boolean => (event.currentTarget as HTMLInputElement).checked;
