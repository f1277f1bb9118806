import { useState } from "preact/hooks";
import { api, type Delivery, type Effect, type LoggedEvent, type Trace } from "./api.ts";
import { Attempts } from "./deliveries.tsx";
import { useDoing, useReading } from "./live.ts";
import { Empty, Json, Page, Problem, State, typed, Waiting, When } from "./parts.tsx";

const statuses = ["received", "routed", "processed", "failed", "dead", "ignored"] as const;
const PAGE = 50;

export function EventLog({ id }: { readonly id: string | undefined }) {
  return id === undefined ? <List /> : <TraceView key={id} id={id} />;
}

function List() {
  const [type, setType] = useState("");
  const [status, setStatus] = useState("");
  const [limit, setLimit] = useState(PAGE);
  const query = new URLSearchParams({
    limit: String(limit),
    ...(/^[a-z0-9_*]+(\.[a-z0-9_*]+)*$/.test(type) ? { type } : {}),
    ...(status === "" ? {} : { status }),
  });
  const { data, error, reload } = useReading<{ readonly events: readonly LoggedEvent[]; readonly next?: string }>(
    `/v1/event-log?${query}`,
    (change) => change.kind === "event",
  );
  const doing = useDoing();
  const replayDead = (): void =>
    void doing.run(async () => {
      const filter = { status: "dead", ...(query.get("type") === null ? {} : { type }) };
      await api("POST", "/v1/event-log/replay", { filter });
      reload();
    });
  const tools = (
    <>
      <input
        type="search"
        aria-label="Type"
        placeholder="billing.invoice.*"
        value={type}
        onInput={(e) => setType(typed(e))}
      />
      <select aria-label="Status" value={status} onChange={(e) => setStatus(typed(e))}>
        <option value="">any status</option>
        {statuses.map((one) => (
          <option key={one}>{one}</option>
        ))}
      </select>
      {status === "dead" ? (
        <button type="button" onClick={replayDead} disabled={doing.busy}>
          Try all of them again
        </button>
      ) : null}
    </>
  );
  return (
    <Page title="Events" about="Everything that happened, and what came of it." tools={tools}>
      <Problem text={doing.problem} />
      {data === undefined ? <Waiting error={error} /> : null}
      {data?.events.length === 0 ? <Empty>No event fits.</Empty> : null}
      <ul class="rows">
        {data?.events.map((event) => (
          <li key={event.event_id}>
            <a href={`#/events/${event.event_id}`}>
              <State of={event.status} />
              <span class="what">{event.type}</span>
              <span class="dim">{event.source_system}</span>
              <When at={event.received_at} />
              {event.last_error === undefined ? null : <span class="error">{event.last_error}</span>}
            </a>
          </li>
        ))}
      </ul>
      {data?.next !== undefined && limit < 200 ? (
        <button type="button" class="quiet" onClick={() => setLimit(limit + PAGE)}>
          Show more
        </button>
      ) : null}
    </Page>
  );
}

/** Event, rule, action, delivery: one below the other, as one followed from the other. */
function TraceView({ id }: { readonly id: string }) {
  const { data, error, reload } = useReading<Trace>(
    `/v1/event-log/${id}`,
    (change) => change.event_id === id || change.kind === "delivery" || change.kind === "message",
  );
  const doing = useDoing();
  const replay = (repeat: boolean): void =>
    void doing.run(async () => {
      if (repeat && !confirm("Do everything again, also what succeeded? Messages are sent a second time.")) return;
      await api("POST", `/v1/event-log/${id}/replay`, { repeat });
      reload();
    });
  if (data === undefined) return <Waiting error={error} />;
  const { event, effects, deliveries, messages, conflicts } = data;
  const subscribed = deliveries.filter((delivery) => !effects.some(({ key }) => key === delivery.effect_key));
  const rules = Map.groupBy(effects, ({ rule }) => rule?.id ?? "");
  const tools = (
    <>
      <button type="button" onClick={() => replay(false)} disabled={doing.busy}>
        Route again
      </button>
      <button type="button" class="quiet" onClick={() => replay(true)} disabled={doing.busy}>
        Repeat everything
      </button>
    </>
  );
  return (
    <Page
      title={event.type}
      about={`From ${event.source_system}, ${new Date(event.occurred_at).toLocaleString()}`}
      tools={tools}
    >
      <a class="back" href="#/events">
        ‹ All events
      </a>
      <Problem text={doing.problem} />
      <ol class="trace">
        <li class="step event">
          <h2>
            Event <State of={event.status} />
          </h2>
          <dl>
            <dt>Id</dt>
            <dd>{event.event_id}</dd>
            <dt>Trace</dt>
            <dd>{event.trace_id}</dd>
            <dt>Sender's id</dt>
            <dd>{event.external_id}</dd>
          </dl>
          {event.last_error === undefined ? null : <Problem text={event.last_error} />}
          <Json title="Payload" value={event.payload} />
          <Json title="As it came" value={event.raw} />
          {conflicts.map((one) => (
            <Json
              key={one.received_at}
              title={`Came again with another payload, ${one.received_at}`}
              value={one.payload}
            />
          ))}
        </li>
        {[...rules.values()].map((ofRule) => (
          <RuleStep key={ofRule[0]?.rule?.id ?? ""} effects={ofRule} deliveries={deliveries} reload={reload} />
        ))}
        {subscribed.map((delivery) => (
          <li class="step delivery" key={delivery.id}>
            <h2>
              Delivery to a subscriber <State of={delivery.state} />
            </h2>
            <Attempts delivery={delivery} reload={reload} />
          </li>
        ))}
        {effects.length + deliveries.length === 0 ? <li class="step dim">No rule wanted it.</li> : null}
        {messages.map((message) => (
          <li class="step message" key={message.id}>
            <h2>
              Message <State of={message.state} />
            </h2>
            <Json title="Content" value={message.content} />
          </li>
        ))}
      </ol>
    </Page>
  );
}

function RuleStep({
  effects,
  deliveries,
  reload,
}: {
  readonly effects: readonly Effect[];
  readonly deliveries: readonly Delivery[];
  readonly reload: () => void;
}) {
  const rule = effects[0]?.rule;
  return (
    <li class="step rule">
      <h2>
        {rule === undefined ? (
          "Subscription"
        ) : (
          <>
            Rule <a href={`#/rules/${rule.id}`}>{rule.name ?? "that is gone"}</a>{" "}
            <span class="dim">version {rule.version}</span>
          </>
        )}
      </h2>
      <ol class="trace">
        {effects.map((effect) => (
          <li class="step action" key={effect.key}>
            <h3>
              {effect.kind.replaceAll("_", " ")} <State of={effect.state} />
              {effect.attempts > 1 ? <span class="dim"> {effect.attempts} attempts</span> : null}
            </h3>
            {effect.error === undefined ? null : <Problem text={effect.error} />}
            <Json title="What" value={effect.detail} />
            <Json title="Answer" value={effect.response} />
            {deliveries
              .filter((delivery) => delivery.effect_key === effect.key)
              .map((delivery) => (
                <div class="step delivery" key={delivery.id}>
                  <h3>
                    Delivery <State of={delivery.state} />
                  </h3>
                  <Attempts delivery={delivery} reload={reload} />
                </div>
              ))}
          </li>
        ))}
      </ol>
    </li>
  );
}
