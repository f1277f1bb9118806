import { useState } from "preact/hooks";
import { api } from "./api.ts";
import { useDoing } from "./live.ts";
import { Field, Problem, typed } from "./parts.tsx";

export function SignIn({
  problem,
  done,
}: {
  readonly problem: string | undefined;
  readonly done: (who: string) => void;
}) {
  const [key, setKey] = useState("");
  const doing = useDoing();
  const send = (event: Event): void => {
    event.preventDefault();
    void doing.run(async () =>
      done((await api<{ readonly name: string }>("POST", "/session", { key: key.trim() })).name),
    );
  };
  return (
    <main class="sign-in">
      <form class="card" onSubmit={send}>
        <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
          <path d="M4 21h24M6 21c0-6 4.5-10 10-10s10 4 10 10M11 21v-8.4M16 21V11M21 21v-8.4" />
        </svg>
        <h1>ponte</h1>
        <p>WhatsApp, your phone system and your own software: one bridge.</p>
        <Field label="API key">
          <input
            type="password"
            name="key"
            autocomplete="current-password"
            required
            value={key}
            onInput={(e) => setKey(typed(e))}
          />
        </Field>
        <button type="submit" class="main" disabled={doing.busy || key.trim() === ""}>
          Sign in
        </button>
        <Problem text={doing.problem ?? problem} />
      </form>
    </main>
  );
}
