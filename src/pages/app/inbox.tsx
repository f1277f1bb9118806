import { useEffect, useRef, useState } from "preact/hooks";
import { api, type Content, type Conversation, type Message } from "./api.ts";
import { tell, useDoing, useReading } from "./live.ts";
import { Empty, Problem, typed, Waiting, When } from "./parts.tsx";

/** A business may write freely for this long after the contact's last message. */
const WINDOW_MS = 24 * 3_600_000;
const PAGE = 50;

const filters = [
  { name: "Open", query: "state=open" },
  { name: "Unread", query: "unread=true" },
  { name: "Closed", query: "state=closed" },
] as const;

export function Inbox({ id }: { readonly id: string | undefined }) {
  const [filter, setFilter] = useState<(typeof filters)[number]>(filters[0]);
  const [limit, setLimit] = useState(PAGE);
  const { data, error } = useReading<{ readonly conversations: readonly Conversation[]; readonly next?: string }>(
    `/v1/conversations?${filter.query}&limit=${limit}`,
    (change) => change.kind === "message",
  );
  return (
    <div class="inbox">
      <section class="people" aria-label="Conversations">
        <header>
          <h1>Inbox</h1>
          <fieldset class="filters" aria-label="Which">
            {filters.map((one) => (
              <button key={one.name} type="button" aria-pressed={one === filter} onClick={() => setFilter(one)}>
                {one.name}
              </button>
            ))}
          </fieldset>
        </header>
        {data === undefined ? <Waiting error={error} /> : null}
        {data?.conversations.length === 0 ? <Empty>Nothing here. Messages show up by themselves.</Empty> : null}
        <ul>
          {data?.conversations.map((one) => (
            <Person key={one.id} conversation={one} current={one.id === id} />
          ))}
        </ul>
        {data?.next !== undefined && limit < 200 ? (
          <button type="button" class="quiet" onClick={() => setLimit(limit + PAGE)}>
            Show more
          </button>
        ) : null}
      </section>
      {id === undefined ? <p class="nobody">Choose a conversation.</p> : <Talk key={id} id={id} />}
    </div>
  );
}

function nameOf({ contact }: Conversation): string {
  const [first] = contact.identities;
  return contact.name ?? (first === undefined ? "Somebody" : numberOf(first));
}

function numberOf(identity: { readonly kind: string; readonly address: string }): string {
  return identity.kind === "phone" ? `+${identity.address}` : identity.address;
}

function Avatar({ name }: { readonly name: string }) {
  const letters = name
    .split(/\s+/)
    .map((word) => word[0] ?? "")
    .filter((letter) => /\p{L}/u.test(letter))
    .slice(0, 2)
    .join("");
  const hue = [...name].reduce((sum, letter) => sum + (letter.codePointAt(0) ?? 0), 0) % 6;
  return (
    <span class={`avatar hue-${hue}`} aria-hidden="true">
      {letters === "" ? "#" : letters.toUpperCase()}
    </span>
  );
}

function Person({ conversation, current }: { readonly conversation: Conversation; readonly current: boolean }) {
  const { last_message: last, unread, assignee } = conversation;
  const name = nameOf(conversation);
  return (
    <li>
      <a class="person" href={`#/inbox/${conversation.id}`} aria-current={current ? "true" : undefined}>
        <Avatar name={name} />
        <span class="name">{name}</span>
        {last === undefined ? null : <When at={last.at} />}
        <span class="preview">
          {last?.direction === "out" ? "You: " : ""}
          {last?.preview}
        </span>
        {unread > 0 ? (
          <span class="unread" role="img" aria-label={`${unread} unread`}>
            {unread}
          </span>
        ) : assignee === undefined ? null : (
          <span class="assignee">{assignee}</span>
        )}
      </a>
    </li>
  );
}

function Talk({ id }: { readonly id: string }) {
  const mine = (change: { readonly conversation_id?: string }): boolean => change.conversation_id === id;
  const [limit, setLimit] = useState(PAGE);
  const one = useReading<Conversation>(`/v1/conversations/${id}`, mine);
  const all = useReading<{ readonly messages: readonly Message[]; readonly next?: string }>(
    `/v1/conversations/${id}/messages?limit=${limit}`,
    mine,
  );
  const unread = one.data?.unread ?? 0;
  const shown = all.data !== undefined;
  const change = useDoing();
  const { run } = change;
  const set = (what: object): void =>
    void run(async () => {
      await api("PATCH", `/v1/conversations/${id}`, what);
      tell({ kind: "message", conversation_id: id });
    });

  useEffect(() => {
    // Only what somebody looks at has been read.
    if (!shown || unread === 0 || document.visibilityState !== "visible") return;
    void run(async () => {
      await api("PATCH", `/v1/conversations/${id}`, { read: true });
      tell({ kind: "message", conversation_id: id });
    });
  }, [shown, unread, id, run]);

  if (one.data === undefined) return <Waiting error={one.error} />;
  const conversation = one.data;
  const [identity] = conversation.contact.identities;
  const assign = (): void => {
    const name = prompt("Who takes care of this conversation? Leave it empty for nobody.", conversation.assignee ?? "");
    if (name !== null) set({ assignee: name.trim() === "" ? null : name.trim() });
  };
  return (
    <section class="talk" aria-label={`Conversation with ${nameOf(conversation)}`}>
      <header>
        <a class="back" href="#/inbox" aria-label="Back to the list">
          ‹
        </a>
        <Avatar name={nameOf(conversation)} />
        <div>
          <h2>{nameOf(conversation)}</h2>
          <p class="dim">
            {identity === undefined ? "" : numberOf(identity)} · {conversation.channel_id}
          </p>
        </div>
        <div class="tools">
          <button type="button" class="quiet" onClick={assign}>
            {conversation.assignee ?? "Assign"}
          </button>
          <button
            type="button"
            class="quiet"
            onClick={() => set({ state: conversation.state === "open" ? "closed" : "open" })}
          >
            {conversation.state === "open" ? "Close" : "Reopen"}
          </button>
        </div>
      </header>
      <Messages
        messages={all.data?.messages ?? []}
        more={all.data?.next !== undefined && limit < 200 ? () => setLimit(limit + PAGE) : undefined}
      />
      <Problem text={all.error ?? change.problem} />
      <Reply conversation={conversation} sent={all.reload} />
    </section>
  );
}

function Messages({
  messages,
  more,
}: {
  readonly messages: readonly Message[];
  readonly more: (() => void) | undefined;
}) {
  const box = useRef<HTMLOListElement>(null);
  const newest = messages[0]?.id;
  useEffect(() => {
    if (newest !== undefined) box.current?.scrollTo({ top: box.current.scrollHeight });
  }, [newest]);
  return (
    <ol class="messages" ref={box} aria-live="polite">
      {more === undefined ? null : (
        <li class="more">
          <button type="button" class="quiet" onClick={more}>
            Earlier messages
          </button>
        </li>
      )}
      {messages.toReversed().map((message) => (
        <Bubble key={message.id} message={message} />
      ))}
    </ol>
  );
}

const ticks: Readonly<Record<string, string>> = { queued: "◷", sent: "✓", delivered: "✓✓", read: "✓✓", failed: "!" };

function Bubble({ message }: { readonly message: Message }) {
  const { direction, content, state, error, author, at, event_id: eventId } = message;
  return (
    <li class={`bubble ${direction}`} data-state={state}>
      {direction === "out" && author !== undefined ? <span class="author">{author}</span> : null}
      <Said content={content} />
      <span class="foot">
        {eventId === undefined ? null : <a href={`#/events/${eventId}`}>why</a>}
        <time dateTime={at} title={new Date(at).toLocaleString()}>
          {new Date(at).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" })}
        </time>
        {direction === "out" ? (
          <span class={`tick ${state}`} role="img" aria-label={state} title={state}>
            {ticks[state] ?? ""}
          </span>
        ) : null}
      </span>
      {error === undefined ? null : <span class="error">{error.message}</span>}
    </li>
  );
}

/** What a message says, in words where it is no text. */
function Said({ content }: { readonly content: Content }) {
  const text = (name: string): string | undefined =>
    typeof content[name] === "string" ? (content[name] as string) : undefined;
  switch (content.type) {
    case "text":
      return <p>{text("text")}</p>;
    case "template":
      return <p class="kind">Template “{text("name")}”</p>;
    case "interactive":
      return <p>{text("body")}</p>;
    case "reply":
      return <p>{text("title")}</p>;
    case "reaction":
      return <p class="big">{text("emoji") === "" ? "took a reaction back" : text("emoji")}</p>;
    case "location":
      return <p class="kind">Place: {text("name") ?? `${content["latitude"]}, ${content["longitude"]}`}</p>;
    default:
      return (
        <p class="kind">
          {content.type === "unsupported" ? (text("kind") ?? "message") : content.type}
          {[text("filename"), text("caption")].filter(Boolean).map((one) => ` · ${one}`)}
        </p>
      );
  }
}

function Reply({ conversation, sent }: { readonly conversation: Conversation; readonly sent: () => void }) {
  const [text, setText] = useState("");
  /** Of this text: pressed again after an answer that was lost, it is the same message. */
  const key = useRef(newKey());
  const doing = useDoing();
  const heard = conversation.last_inbound_at;
  const isLate =
    conversation.provider === "cloud_api" && (heard === undefined || Date.now() - Date.parse(heard) > WINDOW_MS);
  const send = (event: Event): void => {
    event.preventDefault();
    if (text.trim() === "" || doing.busy) return;
    void doing.run(async () => {
      const content = { type: "text", text: text.trim() };
      const path = `/v1/conversations/${conversation.id}/messages`;
      await api("POST", path, { content }, { "idempotency-key": key.current });
      key.current = newKey();
      setText("");
      sent();
    });
  };
  return (
    <form class="reply" onSubmit={send}>
      {isLate ? <p class="hint">The last message is older than 24 h: WhatsApp takes a template only.</p> : null}
      <textarea
        aria-label="Reply"
        placeholder="Write a reply"
        rows={1}
        maxLength={4096}
        value={text}
        onInput={(e) => {
          setText(typed(e));
          key.current = newKey();
        }}
        onKeyDown={(e) => {
          if (e.key === "Enter" && !e.shiftKey && !e.isComposing) send(e);
        }}
      />
      <button type="submit" class="main" disabled={doing.busy || text.trim() === ""}>
        Send
      </button>
      <Problem text={doing.problem} />
    </form>
  );
}

/** `crypto.randomUUID` exists in secure contexts only, and the daemon may be reached by plain HTTP. */
function newKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
