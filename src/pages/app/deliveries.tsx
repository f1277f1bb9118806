import { useState } from "preact/hooks";
import { api, type Delivery, type Endpoint } from "./api.ts";
import { useDoing, useReading } from "./live.ts";
import { Empty, Field, Page, Problem, State, typed, Waiting, When } from "./parts.tsx";

const PAGE = 50;

export function Deliveries(_: { readonly id: string | undefined }) {
  const [state, setState] = useState("");
  const [limit, setLimit] = useState(PAGE);
  const endpoints = useReading<{ readonly endpoints: readonly Endpoint[] }>(
    "/v1/endpoints",
    (change) => change.kind === "delivery",
  );
  const { data, error, reload } = useReading<{ readonly deliveries: readonly Delivery[]; readonly next?: string }>(
    `/v1/deliveries?limit=${limit}${state === "" ? "" : `&state=${state}`}`,
    (change) => change.kind === "delivery",
  );
  const nameOf = (id: string): string => {
    const endpoint = endpoints.data?.endpoints.find((one) => one.id === id);
    return endpoint?.name ?? endpoint?.url ?? "an endpoint that is gone";
  };
  return (
    <Page title="Webhooks" about="Who is told of events, and how that went.">
      <Endpoints endpoints={endpoints.data?.endpoints} error={endpoints.error} reload={endpoints.reload} />
      <header class="head">
        <h2>Deliveries</h2>
        <select aria-label="State" value={state} onChange={(e) => setState(typed(e))}>
          <option value="">any state</option>
          <option>pending</option>
          <option>delivered</option>
          <option>dead</option>
        </select>
      </header>
      {data === undefined ? <Waiting error={error} /> : null}
      {data?.deliveries.length === 0 ? <Empty>Nothing was delivered yet.</Empty> : null}
      <ul class="cards">
        {data?.deliveries.map((delivery) => (
          <li class="card delivery" key={delivery.id}>
            <p class="title">
              <State of={delivery.state} /> <b>{nameOf(delivery.endpoint_id)}</b> <When at={delivery.created_at} />{" "}
              <a href={`#/events/${delivery.event_id}`}>event</a>
            </p>
            <Attempts delivery={delivery} reload={reload} />
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

/** Every attempt of a delivery, and trying a dead one again. */
export function Attempts({ delivery, reload }: { readonly delivery: Delivery; readonly reload: () => void }) {
  const doing = useDoing();
  const replay = (): void =>
    void doing.run(async () => {
      await api("POST", `/v1/deliveries/${delivery.id}/replay`);
      reload();
    });
  return (
    <>
      <ol class="attempts">
        {delivery.attempts.map((attempt) => (
          <li key={attempt.at} class={attempt.error === undefined ? "good" : "bad"}>
            <When at={attempt.at} /> <b>{attempt.status ?? attempt.error?.replaceAll("_", " ")}</b>{" "}
            <span class="dim">{Math.round(attempt.took_ms)} ms</span>
            {attempt.response === undefined ? null : <code>{attempt.response.slice(0, 200)}</code>}
          </li>
        ))}
      </ol>
      {delivery.state === "pending" && delivery.next_at !== undefined ? (
        <p class="dim">Next attempt {new Date(delivery.next_at).toLocaleTimeString()}</p>
      ) : null}
      {delivery.state === "dead" ? (
        <button type="button" onClick={replay} disabled={doing.busy}>
          Try again
        </button>
      ) : null}
      <Problem text={doing.problem} />
    </>
  );
}

function Endpoints({
  endpoints,
  error,
  reload,
}: {
  readonly endpoints: readonly Endpoint[] | undefined;
  readonly error: string | undefined;
  readonly reload: () => void;
}) {
  const [adding, setAdding] = useState(false);
  const [secret, setSecret] = useState<string | undefined>();
  if (endpoints === undefined) return <Waiting error={error} />;
  return (
    <section aria-label="Endpoints">
      <header class="head">
        <h2>Endpoints</h2>
        <button type="button" class="main" onClick={() => setAdding(!adding)}>
          Add an endpoint
        </button>
      </header>
      {secret === undefined ? null : (
        <p class="secret" role="status">
          Copy the secret now, it is not shown again: <code>{secret}</code>
          <button type="button" class="quiet" onClick={() => setSecret(undefined)}>
            Done
          </button>
        </p>
      )}
      {adding ? (
        <AddEndpoint
          done={(made) => {
            setSecret(made);
            setAdding(false);
            reload();
          }}
        />
      ) : null}
      {endpoints.length === 0 && !adding ? <Empty>Nobody is told of events yet.</Empty> : null}
      <ul class="cards">
        {endpoints.map((endpoint) => (
          <EndpointCard key={endpoint.id} endpoint={endpoint} reload={reload} showSecret={setSecret} />
        ))}
      </ul>
    </section>
  );
}

function AddEndpoint({ done }: { readonly done: (secret: string) => void }) {
  const [url, setUrl] = useState("");
  const [name, setName] = useState("");
  const [events, setEvents] = useState("");
  const doing = useDoing();
  const send = (event: Event): void => {
    event.preventDefault();
    void doing.run(async () => {
      const types = events.split(/[\s,]+/).filter((type) => type !== "");
      const body = { url, events: types, ...(name === "" ? {} : { name }) };
      done((await api<{ readonly secret: string }>("POST", "/v1/endpoints", body)).secret);
    });
  };
  return (
    <form class="card row" onSubmit={send}>
      <Field label="Address">
        <input type="url" required placeholder="https://" value={url} onInput={(e) => setUrl(typed(e))} />
      </Field>
      <Field label="Name">
        <input value={name} maxLength={100} onInput={(e) => setName(typed(e))} />
      </Field>
      <Field label="Event types (empty: by rules only)">
        <input value={events} placeholder="whatsapp.inbound.*, call.*" onInput={(e) => setEvents(typed(e))} />
      </Field>
      <button type="submit" class="main" disabled={doing.busy}>
        Add
      </button>
      <Problem text={doing.problem} />
    </form>
  );
}

function EndpointCard({
  endpoint,
  reload,
  showSecret,
}: {
  readonly endpoint: Endpoint;
  readonly reload: () => void;
  readonly showSecret: (secret: string) => void;
}) {
  const doing = useDoing();
  const path = `/v1/endpoints/${endpoint.id}`;
  const rotate = (): void =>
    void doing.run(async () => {
      if (!confirm("Make a new secret? The old one goes on to sign for 24 h.")) return;
      showSecret((await api<{ readonly secret: string }>("POST", `${path}/rotate`)).secret);
    });
  const toggle = (): void =>
    void doing.run(async () => {
      await api("PATCH", path, { enabled: !endpoint.enabled });
      reload();
    });
  return (
    <li class="card channel">
      <div>
        <h3>{endpoint.name ?? endpoint.url}</h3>
        <p class="dim">
          {endpoint.url} · {endpoint.events.length === 0 ? "by rules only" : endpoint.events.join(", ")}
        </p>
      </div>
      <div class="tools">
        <State
          of={endpoint.enabled ? (endpoint.failing_since === undefined ? "working" : "failing") : "switched_off"}
        />
        <button type="button" class="quiet" onClick={toggle} disabled={doing.busy}>
          {endpoint.enabled ? "Switch off" : "Switch on"}
        </button>
        <button type="button" class="quiet" onClick={rotate} disabled={doing.busy}>
          New secret
        </button>
      </div>
      <Problem text={doing.problem ?? endpoint.disabled_reason} />
    </li>
  );
}
