import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { api } from "./api.ts";

/** A change that the daemon tells of; see `GET /v1/live`. */
export interface Change {
  readonly kind: "event" | "message" | "channel" | "delivery" | "connected";
  readonly id?: string;
  readonly conversation_id?: string;
  readonly event_id?: string;
}

const listeners = new Set<(change: Change) => void>();
/** After a refusal, such as too many streams; a connection that breaks is taken up by the browser itself. */
const COME_AGAIN_MS = 5_000;
/** Changes that come in a burst are one reading. */
const GATHER_MS = 120;

let source: EventSource | undefined;

/** Listens until `stopLive`. After every break all that is shown is read again, because nothing is repeated. */
export function startLive(): void {
  if (source !== undefined) return;
  const stream = new EventSource("/v1/live");
  source = stream;
  stream.addEventListener("open", () => tell({ kind: "connected" }));
  stream.addEventListener("message", ({ data }) => tell(JSON.parse(String(data)) as Change));
  stream.addEventListener("error", () => {
    if (stream.readyState !== EventSource.CLOSED || source !== stream) return;
    source = undefined;
    setTimeout(startLive, COME_AGAIN_MS);
  });
}

export function stopLive(): void {
  source?.close();
  source = undefined;
}

/** Also for what a page itself has changed, so that others beside it read again. */
export function tell(change: Change): void {
  for (const listener of listeners) listener(change);
}

export interface Reading<T> {
  readonly data: T | undefined;
  readonly error: string | undefined;
  readonly reload: () => void;
}

/** Reads a path of the API, and again when a change concerns it. */
export function useReading<T>(path: string, concerns: (change: Change) => boolean): Reading<T> {
  const [state, setState] = useState<{ readonly path: string; readonly data?: T; readonly error?: string }>({ path });
  const latest = useRef({ path, concerns, order: 0 });
  latest.current.path = path;
  latest.current.concerns = concerns;

  const reload = useCallback(() => {
    const order = ++latest.current.order;
    const wanted = latest.current.path;
    // An answer that was overtaken by a later question is not shown.
    const isLate = (): boolean => order !== latest.current.order || wanted !== latest.current.path;
    api<T>("GET", wanted).then(
      (data) => isLate() || setState({ path: wanted, data }),
      (error: unknown) =>
        isLate() ||
        setState((old) => ({
          ...(old.path === wanted ? old : { path: wanted }),
          error: String((error as Error).message),
        })),
    );
  }, []);

  useEffect(() => {
    reload();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const listener = (change: Change): void => {
      if (change.kind !== "connected" && !latest.current.concerns(change)) return;
      timer ??= setTimeout(() => {
        timer = undefined;
        reload();
      }, GATHER_MS);
    };
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      clearTimeout(timer);
    };
  }, [path, reload]);

  const current = state.path === path;
  return { data: current ? state.data : undefined, error: current ? state.error : undefined, reload };
}

/** A change that the user asks for: whether it is under way, and why it failed. */
export function useDoing(): {
  readonly busy: boolean;
  readonly problem: string | undefined;
  readonly run: (task: () => Promise<unknown>) => Promise<boolean>;
} {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | undefined>();
  const run = useCallback(async (task: () => Promise<unknown>): Promise<boolean> => {
    setBusy(true);
    setProblem(undefined);
    try {
      await task();
      return true;
    } catch (error) {
      setProblem((error as Error).message);
      return false;
    } finally {
      setBusy(false);
    }
  }, []);
  return { busy, problem, run };
}
