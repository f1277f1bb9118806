import { useEffect, useState } from "preact/hooks";
import { api, type Channel, type Refusal } from "./api.ts";
import { useDoing, useReading } from "./live.ts";
import { Empty, Field, Page, Problem, State, typed, Waiting } from "./parts.tsx";

/** Gateways change their code every 20 s or so; the phone refuses an old one. */
const NEW_CODE_MS = 4_000;

export function Channels({ id }: { readonly id: string | undefined }) {
  const { data, error, reload } = useReading<{ readonly channels: readonly Channel[]; readonly can_connect: boolean }>(
    "/v1/channels",
    (change) => change.kind === "channel",
  );
  const [adding, setAdding] = useState(false);
  if (data === undefined) return <Waiting error={error} />;
  const open = data.channels.find((channel) => channel.id === id);
  const add = data.can_connect ? (
    <button type="button" class="main" onClick={() => setAdding(!adding)}>
      Connect a number
    </button>
  ) : undefined;
  return (
    <Page title="Channels" about="The WhatsApp numbers that ponte speaks for." tools={add}>
      {adding ? <Connect done={reload} close={() => setAdding(false)} /> : null}
      {open === undefined || open.provider !== "wpp_gateway" ? null : <Code channel={open} reload={reload} />}
      {data.channels.length === 0 ? <Empty>No number is connected yet.</Empty> : null}
      <ul class="cards">
        {data.channels.map((channel) => (
          <Card key={channel.id} channel={channel} reload={reload} />
        ))}
      </ul>
    </Page>
  );
}

function Connect({ done, close }: { readonly done: () => void; readonly close: () => void }) {
  const [name, setName] = useState("");
  const [channelId, setChannelId] = useState("");
  const doing = useDoing();
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    await doing.run(async () => {
      const wanted = { ...(name === "" ? {} : { name }), ...(channelId === "" ? {} : { channel_id: channelId }) };
      const channel = await api<Channel>("POST", "/v1/channels", wanted);
      done();
      close();
      location.hash = `#/channels/${channel.id}`;
    });
  };
  return (
    <form class="card row" onSubmit={send}>
      <Field label="Name, for people">
        <input value={name} maxLength={100} placeholder="Front desk" onInput={(e) => setName(typed(e))} />
      </Field>
      <Field label="Channel id at the gateway (optional)">
        <input value={channelId} pattern="[A-Za-z0-9_\-]{1,64}" onInput={(e) => setChannelId(typed(e))} />
      </Field>
      <button type="submit" class="main" disabled={doing.busy}>
        Create and show the code
      </button>
      <Problem text={doing.problem} />
    </form>
  );
}

/** The code to scan. It is asked for again and again, and so is the state: before the webhook is set nobody else tells it. */
function Code({ channel, reload }: { readonly channel: Channel; readonly reload: () => void }) {
  const [image, setImage] = useState<string | undefined>();
  const [problem, setProblem] = useState<string | undefined>();
  const connected = channel.state === "connected";

  useEffect(() => {
    if (connected) return;
    let stopped = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async (): Promise<void> => {
      try {
        const { state } = await api<Channel>("POST", `/v1/channels/${channel.id}/refresh`);
        if (state !== "connected") {
          const code = await api<{ readonly image: string }>("GET", `/v1/channels/${channel.id}/qr`);
          if (!stopped) setImage(code.image);
        }
        if (!stopped) setProblem(undefined);
        if (state !== channel.state) reload();
      } catch (error) {
        const { code, message } = error as Refusal;
        if (code === "already_connected") reload();
        // A gateway takes some seconds to its first code.
        else if (!stopped) setProblem(code === "qr_not_ready" ? undefined : message);
      }
      if (!stopped) timer = setTimeout(look, NEW_CODE_MS);
    };
    void look();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, [channel.id, channel.state, connected, reload]);

  return (
    <section class="card code" aria-label={`Connecting ${channel.name ?? channel.channel_id}`}>
      {connected ? (
        <div class="connected" role="status">
          <svg viewBox="0 0 24 24" aria-hidden="true">
            <path d="M5 13l4.5 4.5L19 7" />
          </svg>
          <h2>{channel.name ?? channel.channel_id} is connected</h2>
          <p>{channel.webhook_configured ? "Messages arrive from now on." : "The webhook is being set."}</p>
        </div>
      ) : (
        <>
          <div class="qr">
            {image === undefined ? (
              <p class="empty">The code is on its way.</p>
            ) : (
              <img src={image} alt="QR code to scan with the phone" />
            )}
          </div>
          <div>
            <h2>Connect {channel.name ?? channel.channel_id}</h2>
            <ol>
              <li>Open WhatsApp on the phone of this number.</li>
              <li>
                Go to <b>Linked devices</b>, then <b>Link a device</b>.
              </li>
              <li>Point the phone at this code. It renews itself.</li>
            </ol>
            <Problem text={problem} />
          </div>
        </>
      )}
      <a class="close" href="#/channels" aria-label="Close">
        ×
      </a>
    </section>
  );
}

function Card({ channel, reload }: { readonly channel: Channel; readonly reload: () => void }) {
  const doing = useDoing();
  const isGateway = channel.provider === "wpp_gateway";
  const connect = (): void =>
    void doing.run(async () => {
      await api("POST", "/v1/channels", { channel_id: channel.channel_id });
      reload();
      location.hash = `#/channels/${channel.id}`;
    });
  const stop = (): void =>
    void doing.run(async () => {
      if (!confirm(`Stop using ${channel.name ?? channel.channel_id}? Its messages no longer arrive.`)) return;
      await api("POST", `/v1/channels/${channel.id}/disable`);
      reload();
    });
  return (
    <li class="card channel">
      <div>
        <h2>{channel.name ?? channel.channel_id}</h2>
        <p class="dim">
          {channel.phone === undefined ? channel.channel_id : `+${channel.phone}`} ·{" "}
          {isGateway ? "WhatsApp gateway" : "Cloud API"}
        </p>
      </div>
      <div class="tools">
        <State of={channel.enabled ? channel.state : "switched_off"} />
        {isGateway && (channel.state !== "connected" || !channel.enabled) ? (
          <button type="button" onClick={connect} disabled={doing.busy}>
            {!channel.enabled ? "Use again" : channel.state === "disconnected" ? "Reconnect" : "Show the code"}
          </button>
        ) : null}
        {isGateway && channel.enabled && channel.state === "connected" ? (
          <button type="button" class="quiet" onClick={stop} disabled={doing.busy}>
            Stop
          </button>
        ) : null}
      </div>
      <Problem text={doing.problem} />
    </li>
  );
}
