import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { api, type Refusal, signedOut } from "./api.ts";
import { Channels } from "./channels.tsx";
import { Deliveries } from "./deliveries.tsx";
import { EventLog } from "./event-log.tsx";
import { Inbox } from "./inbox.tsx";
import { startLive, stopLive } from "./live.ts";
import { Rules } from "./rules.tsx";
import { SignIn } from "./sign-in.tsx";

const pages = [
  { name: "inbox", title: "Inbox", Show: Inbox, icon: "M4 5h16v10H9l-5 4z" },
  { name: "channels", title: "Channels", Show: Channels, icon: "M8 3h8v18H8zM11 18h2" },
  { name: "events", title: "Events", Show: EventLog, icon: "M4 6h16M4 12h16M4 18h10" },
  { name: "rules", title: "Rules", Show: Rules, icon: "M5 4v6a3 3 0 0 0 3 3h8a3 3 0 0 1 3 3v4M16 17l3 3 3-3" },
  { name: "deliveries", title: "Webhooks", Show: Deliveries, icon: "M3 12h14M12 6l6 6-6 6" },
] as const;

/** `#/inbox/<id>` */
function place(): { readonly name: string; readonly id: string | undefined } {
  const [, name = "", id] = location.hash.split("/");
  return { name, id: id === undefined || id === "" ? undefined : decodeURIComponent(id) };
}

function App() {
  const [who, setWho] = useState<string | undefined>();
  const [asked, setAsked] = useState(false);
  const [problem, setProblem] = useState<string | undefined>();
  const [at, setAt] = useState(place);

  useEffect(() => {
    const move = (): void => setAt(place());
    const out = (): void => setWho(undefined);
    addEventListener("hashchange", move);
    signedOut.addEventListener("now", out);
    api<{ readonly name: string | null }>("GET", "/session")
      .then(({ name }) => setWho(name ?? undefined))
      .catch((error: Refusal) => setProblem(error.message))
      .finally(() => setAsked(true));
    return () => {
      removeEventListener("hashchange", move);
      signedOut.removeEventListener("now", out);
    };
  }, []);

  useEffect(() => {
    if (who === undefined) return;
    startLive();
    return stopLive;
  }, [who]);

  if (!asked) return null;
  if (who === undefined) return <SignIn problem={problem} done={setWho} />;
  const { name, Show } = pages.find((page) => page.name === at.name) ?? pages[0];
  const leave = (): void => void api("DELETE", "/session").finally(() => setWho(undefined));
  return (
    <>
      <nav class="nav" aria-label="Pages">
        <a class="brand" href="#/inbox">
          ponte
        </a>
        {pages.map((page) => (
          <a key={page.name} href={`#/${page.name}`} aria-current={page.name === name ? "page" : undefined}>
            <svg viewBox="0 0 24 24" aria-hidden="true">
              <path d={page.icon} />
            </svg>
            <span>{page.title}</span>
          </a>
        ))}
        <button type="button" class="leave" onClick={leave} title={`Signed in as ${who}`}>
          <svg viewBox="0 0 24 24" aria-hidden="true">
            <path d="M10 4H5v16h5M10 12h10M16 8l4 4-4 4" />
          </svg>
          <span>Sign out</span>
        </button>
      </nav>
      <main class={at.id === undefined ? "list-only" : "with-one"}>
        <Show id={at.name === name ? at.id : undefined} />
      </main>
    </>
  );
}

const root = document.getElementById("app");
if (root !== null) render(<App />, root);
