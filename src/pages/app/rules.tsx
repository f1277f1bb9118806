import { useState } from "preact/hooks";
import { api, type Report, type Rule, type RuleDraft } from "./api.ts";
import { useDoing, useReading } from "./live.ts";
import { Empty, Field, Json, Page, Problem, State, ticked, typed, Waiting } from "./parts.tsx";
import { Actions, HoursFields } from "./rule-fields.tsx";

const fresh: RuleDraft = {
  name: "",
  enabled: true,
  priority: 100,
  event_type: "",
  actions: [{ type: "inbox" }],
  on_match: "stop",
};

export function Rules({ id }: { readonly id: string | undefined }) {
  const { data, error, reload } = useReading<{ readonly rules: readonly Rule[] }>("/v1/rules", () => false);
  if (data === undefined) return <Waiting error={error} />;
  const rule = data.rules.find((one) => one.id === id);
  if (id !== undefined && (rule !== undefined || id === "new"))
    return <Editor key={`${id} ${rule?.version}`} rule={rule} rules={data.rules} reload={reload} />;
  const tools = (
    <a class="button main" href="#/rules/new">
      New rule
    </a>
  );
  return (
    <Page title="Rules" about="When this happens, do that. Tried from top to bottom." tools={tools}>
      {data.rules.length === 0 ? <Empty>There is no rule yet: every event is only logged.</Empty> : null}
      <ul class="rows">
        {data.rules.map((one) => (
          <li key={one.id}>
            <a href={`#/rules/${one.id}`} class={one.enabled ? "" : "off"}>
              <span class="priority">{one.priority}</span>
              <span class="what">{one.name}</span>
              <span class="dim">
                {one.event_type} → {one.actions.map(({ type }) => type.replaceAll("_", " ")).join(", ")}
              </span>
              {one.enabled ? null : <State of="off" />}
            </a>
          </li>
        ))}
      </ul>
    </Page>
  );
}

function draftOf({ id: _id, version: _version, updated_at: _at, updated_by: _by, ...draft }: Rule): RuleDraft {
  return draft;
}

function Editor({
  rule,
  rules,
  reload,
}: {
  readonly rule: Rule | undefined;
  readonly rules: readonly Rule[];
  readonly reload: () => void;
}) {
  const [draft, setDraft] = useState<RuleDraft>(rule === undefined ? fresh : draftOf(rule));
  const [saved, setSaved] = useState(false);
  const doing = useDoing();
  const set = (change: Partial<RuleDraft>): void => {
    setSaved(false);
    setDraft((before) => withoutEmpty({ ...before, ...change }));
  };
  const save = (event: Event): void => {
    event.preventDefault();
    void doing.run(async () => {
      const kept =
        rule === undefined
          ? await api<Rule>("POST", "/v1/rules", draft)
          : await api<Rule>("PUT", `/v1/rules/${rule.id}`, { ...draft, version: rule.version });
      setSaved(true);
      reload();
      location.hash = `#/rules/${kept.id}`;
    });
  };
  const remove = (): void =>
    void doing.run(async () => {
      if (rule === undefined || !confirm(`Remove “${rule.name}”? Its versions are kept.`)) return;
      await api("DELETE", `/v1/rules/${rule.id}`);
      location.hash = "#/rules";
      reload();
    });
  const about =
    rule === undefined
      ? "Not saved yet."
      : `Version ${rule.version}, ${new Date(rule.updated_at).toLocaleString()}, by ${rule.updated_by}`;
  return (
    <Page title={rule?.name ?? "New rule"} about={about}>
      <a class="back" href="#/rules">
        ‹ All rules
      </a>
      <div class="editor">
        <form class="card" onSubmit={save}>
          <Basics draft={draft} set={set} />
          <HoursFields hours={draft.hours} change={(hours) => set({ hours } as Partial<RuleDraft>)} />
          <Actions actions={draft.actions} change={(actions) => set({ actions })} />
          <Field label="When it matches">
            <select value={draft.on_match} onChange={(e) => set({ on_match: typed(e) as RuleDraft["on_match"] })}>
              <option value="stop">ask no further rule</option>
              <option value="continue">ask the next rule, too</option>
            </select>
          </Field>
          <div class="tools">
            <button type="submit" class="main" disabled={doing.busy}>
              Save
            </button>
            {rule === undefined ? null : (
              <button type="button" class="quiet bad" onClick={remove} disabled={doing.busy}>
                Remove
              </button>
            )}
            {saved ? <span role="status">Saved.</span> : null}
          </div>
          <Problem text={doing.problem} />
        </form>
        <DryRun draft={draft} rule={rule} rules={rules} />
      </div>
    </Page>
  );
}

/** Fields that are not filled in are left out, as the API wants it. */
function withoutEmpty(draft: RuleDraft): RuleDraft {
  const entries = Object.entries(draft).filter(
    ([name, value]) => value !== undefined && (value !== "" || name === "name" || name === "event_type"),
  );
  return Object.fromEntries(entries) as unknown as RuleDraft;
}

function Basics({ draft, set }: { readonly draft: RuleDraft; readonly set: (change: Partial<RuleDraft>) => void }) {
  return (
    <>
      <div class="row">
        <Field label="Name">
          <input required maxLength={100} value={draft.name} onInput={(e) => set({ name: typed(e) })} />
        </Field>
        <Field label="Order">
          <input type="number" required value={draft.priority} onInput={(e) => set({ priority: Number(typed(e)) })} />
        </Field>
        <label class="check">
          <input type="checkbox" checked={draft.enabled} onChange={(e) => set({ enabled: ticked(e) })} /> Enabled
        </label>
      </div>
      <Field label="When this happens">
        <input
          required
          placeholder="billing.invoice.*"
          value={draft.event_type}
          onInput={(e) => set({ event_type: typed(e) })}
        />
      </Field>
      <Field label="Only if (an expression over event and payload)">
        <input
          class="mono"
          placeholder="payload.invoice.amount > 100"
          value={draft.condition ?? ""}
          onInput={(e) => set({ condition: typed(e) })}
        />
      </Field>
      <Field label="Only for the channel">
        <input placeholder="any" value={draft.channel_id ?? ""} onInput={(e) => set({ channel_id: typed(e) })} />
      </Field>
    </>
  );
}

function DryRun({
  draft,
  rule,
  rules,
}: {
  readonly draft: RuleDraft;
  readonly rule: Rule | undefined;
  readonly rules: readonly Rule[];
}) {
  const [type, setType] = useState(draft.event_type.replaceAll("*", "x"));
  const [payload, setPayload] = useState('{\n  "customer": { "name": "Ana", "phone": "+55 11 91234-5678" }\n}');
  const [report, setReport] = useState<Report | undefined>();
  const doing = useDoing();
  const tryIt = (event: Event): void => {
    event.preventDefault();
    void doing.run(async () => {
      setReport(undefined);
      const others = rules.map((one) => (one.id === rule?.id ? draft : draftOf(one)));
      const tried = rule === undefined ? [...others, draft] : others;
      const body = { event: { type, payload: JSON.parse(payload) as object }, rules: tried };
      setReport(await api<Report>("POST", "/v1/rules/dry-run", body));
    });
  };
  return (
    <form class="card dry-run" onSubmit={tryIt}>
      <h2>Dry run</h2>
      <p class="dim">What the rules, with this one as it stands here, would do. Nothing is done.</p>
      <Field label="Event type">
        <input required value={type} onInput={(e) => setType(typed(e))} />
      </Field>
      <Field label="Payload">
        <textarea class="mono" rows={8} value={payload} onInput={(e) => setPayload(typed(e))} />
      </Field>
      <button type="submit" disabled={doing.busy}>
        Try
      </button>
      <Problem text={doing.problem} />
      {report === undefined ? null : (
        <div class="report" role="status">
          <ul class="verdicts">
            {report.verdicts.map((verdict) => (
              <li key={verdict.rule_id}>
                <State of={verdict.reason} /> {verdict.name}{" "}
                {verdict.detail === undefined ? null : <span class="dim">{verdict.detail}</span>}
              </li>
            ))}
          </ul>
          {report.effects.length === 0 ? <p>Nothing would happen.</p> : <h3>What would happen</h3>}
          {report.effects.map((effect, i) => (
            <div key={`${effect.rule_id} ${i}`}>
              <Json title={effect.action.type.replaceAll("_", " ")} value={effect.action} />
              <Problem text={effect.problem} />
            </div>
          ))}
        </div>
      )}
    </form>
  );
}
