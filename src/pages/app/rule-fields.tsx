import { useState } from "preact/hooks";
import type { Action, Content, Endpoint, Hours } from "./api.ts";
import { useReading } from "./live.ts";
import { Field, ticked, typed } from "./parts.tsx";

const days = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"] as const;

const kinds = [
  ["inbox", "Into the inbox"],
  ["send_message", "Send a message"],
  ["webhook", "Call a webhook"],
  ["log", "Only log it"],
  ["drop", "Drop it"],
] as const;

function emptyAction(type: string, endpoints: readonly Endpoint[]): Action {
  if (type === "send_message") return { type, content: { type: "text", text: "" } };
  if (type === "webhook") return { type, endpoint_id: endpoints[0]?.id ?? "" };
  return { type };
}

export function Actions({
  actions,
  change,
}: {
  readonly actions: readonly Action[];
  readonly change: (actions: readonly Action[]) => void;
}) {
  const { data } = useReading<{ readonly endpoints: readonly Endpoint[] }>("/v1/endpoints", () => false);
  const endpoints = data?.endpoints ?? [];
  return (
    <fieldset>
      <legend>Then do</legend>
      {actions.map((action, i) => {
        const set = (changed: Action): void => change(actions.with(i, changed));
        return (
          <div class="action" key={`${i} ${action.type}`}>
            <div class="row">
              <select
                aria-label={`Action ${i + 1}`}
                value={action.type}
                onChange={(e) => set(emptyAction(typed(e), endpoints))}
              >
                {kinds.map(([type, label]) => (
                  <option key={type} value={type}>
                    {label}
                  </option>
                ))}
              </select>
              {actions.length > 1 ? (
                <button
                  type="button"
                  class="quiet"
                  aria-label={`Remove action ${i + 1}`}
                  onClick={() => change(actions.filter((_, at) => at !== i))}
                >
                  ×
                </button>
              ) : null}
            </div>
            <ActionFields action={action} set={set} endpoints={endpoints} />
          </div>
        );
      })}
      <button type="button" class="quiet" onClick={() => change([...actions, { type: "inbox" }])}>
        + Another action
      </button>
    </fieldset>
  );
}

function ActionFields({
  action,
  set,
  endpoints,
}: {
  readonly action: Action;
  readonly set: (action: Action) => void;
  readonly endpoints: readonly Endpoint[];
}) {
  const text = (name: string): string => (typeof action[name] === "string" ? (action[name] as string) : "");
  /** An optional text: empty means absent. */
  const optional = (name: string) => (event: Event) => {
    const { [name]: _, ...rest } = action;
    set({ ...rest, type: action.type, ...(typed(event) === "" ? {} : { [name]: typed(event) }) });
  };
  switch (action.type) {
    case "inbox":
      return (
        <Field label="Assign to">
          <input placeholder="nobody" value={text("assignee")} onInput={optional("assignee")} />
        </Field>
      );
    case "send_message":
      return (
        <>
          <Field label="To">
            <input placeholder="whoever the event is about" value={text("to")} onInput={optional("to")} />
          </Field>
          <ContentFields content={action["content"] as Content} set={(content) => set({ ...action, content })} />
        </>
      );
    case "webhook":
      return (
        <Field label="Endpoint">
          <select value={text("endpoint_id")} onChange={optional("endpoint_id")}>
            {endpoints.map((endpoint) => (
              <option key={endpoint.id} value={endpoint.id}>
                {endpoint.name ?? endpoint.url}
              </option>
            ))}
          </select>
        </Field>
      );
    case "log":
      return (
        <Field label="Note">
          <input value={text("note")} maxLength={500} onInput={optional("note")} />
        </Field>
      );
    default:
      return null;
  }
}

/** A text is typed; templates and choices are written as JSON. */
function ContentFields({ content, set }: { readonly content: Content; readonly set: (content: Content) => void }) {
  const [json, setJson] = useState(JSON.stringify(content, null, 2));
  const [wrong, setWrong] = useState(false);
  if (content.type === "text")
    return (
      <Field label="Text; {{payload.customer.name}} is filled in">
        <textarea
          rows={3}
          required
          maxLength={4096}
          value={String(content["text"] ?? "")}
          onInput={(e) => set({ ...content, text: typed(e) })}
        />
      </Field>
    );
  const take = (event: Event): void => {
    setJson(typed(event));
    try {
      set(JSON.parse(typed(event)) as Content);
      setWrong(false);
    } catch {
      // Half-typed JSON is kept on the page only.
      setWrong(true);
    }
  };
  return (
    <Field label={wrong ? "Content (this is not JSON yet)" : "Content"}>
      <textarea class="mono" rows={8} value={json} onInput={take} />
    </Field>
  );
}

export function HoursFields({
  hours,
  change,
}: {
  readonly hours: Hours | undefined;
  readonly change: (hours: Hours | undefined) => void;
}) {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  const usual: Hours = {
    timezone: timeZone,
    applies: "inside",
    weekly: [{ days: [1, 2, 3, 4, 5], from: "08:00", to: "18:00" }],
  };
  return (
    <fieldset>
      <legend>
        <label class="check">
          <input
            type="checkbox"
            checked={hours !== undefined}
            onChange={(e) => change(ticked(e) ? usual : undefined)}
          />{" "}
          Only at certain hours
        </label>
      </legend>
      {hours === undefined ? null : <OpenTimes hours={hours} change={change} />}
    </fieldset>
  );
}

function OpenTimes({ hours, change }: { readonly hours: Hours; readonly change: (hours: Hours) => void }) {
  const setTime = (i: number, time: Partial<Hours["weekly"][number]>): void => {
    const before = hours.weekly[i];
    if (before !== undefined) change({ ...hours, weekly: hours.weekly.with(i, { ...before, ...time }) });
  };
  const setHolidays = (event: Event): void => {
    const { holidays: _, ...rest } = hours;
    const dates = typed(event)
      .split(/[\s,]+/)
      .filter((date) => date !== "");
    change(dates.length === 0 ? rest : { ...rest, holidays: dates });
  };
  return (
    <>
      <div class="row">
        <Field label="Time zone">
          <input required value={hours.timezone} onInput={(e) => change({ ...hours, timezone: typed(e) })} />
        </Field>
        <Field label="Applies">
          <select value={hours.applies} onChange={(e) => change({ ...hours, applies: typed(e) as Hours["applies"] })}>
            <option value="inside">within these hours</option>
            <option value="outside">outside of them</option>
          </select>
        </Field>
      </div>
      {hours.weekly.map((time, i) => (
        <div class="row times" key={i}>
          <fieldset class="days" aria-label="Days">
            {days.map((day, n) => (
              <button
                key={day}
                type="button"
                aria-pressed={time.days.includes(n + 1)}
                onClick={() =>
                  setTime(i, {
                    days: time.days.includes(n + 1)
                      ? time.days.filter((one) => one !== n + 1)
                      : [...time.days, n + 1].toSorted(),
                  })
                }
              >
                {day}
              </button>
            ))}
          </fieldset>
          <input
            class="clock"
            inputMode="numeric"
            pattern="([01]\d|2[0-3]):[0-5]\d|24:00"
            maxLength={5}
            required
            aria-label="From"
            value={time.from}
            onInput={(e) => setTime(i, { from: typed(e) })}
          />
          <input
            class="clock"
            inputMode="numeric"
            pattern="([01]\d|2[0-3]):[0-5]\d|24:00"
            maxLength={5}
            required
            aria-label="To"
            value={time.to}
            onInput={(e) => setTime(i, { to: typed(e) })}
          />
        </div>
      ))}
      <button
        type="button"
        class="quiet"
        onClick={() => change({ ...hours, weekly: [...hours.weekly, { days: [6], from: "08:00", to: "12:00" }] })}
      >
        + Another time
      </button>
      <Field label="Closed on (dates such as 2026-12-25, or 12-25 for every year)">
        <input defaultValue={hours.holidays?.join(", ") ?? ""} onChange={setHolidays} />
      </Field>
    </>
  );
}
