import Type from "typebox";
import type { Clock, Log } from "#engine/ports.ts";
import type { App } from "./app.ts";
import type { ReadyCheck } from "./ports.ts";

export interface HealthParts {
  readonly readyChecks: readonly ReadyCheck[];
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly stopping: () => boolean;
}

/** A check that takes longer has failed: whoever asks (an orchestrator) has a limit of its own, often 5 s. */
const CHECK_LIMIT_MS = 2_000;
/** How long an answer is good for: `/ready` needs no key and must not become a way to load the database. */
const REUSE_MS = 500;

const live = {
  summary: "Is the process alive?",
  description: "200 as long as the process answers at all. For restarts.",
  operationId: "live",
  tags: ["health"],
  security: [],
  response: {
    200: Type.Object({ status: Type.Literal("live"), version: Type.String() }, { description: "It is." }),
  },
};

const readiness = (status: "ready" | "not_ready", description: string) =>
  Type.Object(
    {
      status: Type.Literal(status),
      checks: Type.Array(
        Type.Object({
          name: Type.String({ examples: ["database"] }),
          ok: Type.Boolean(),
          detail: Type.Optional(Type.String()),
          took_ms: Type.Integer({ description: "How long the check took." }),
        }),
      ),
    },
    { description },
  );

const ready = {
  summary: "Can it take calls?",
  description: "503 when any check fails or the daemon is stopping. For load balancers.",
  operationId: "ready",
  tags: ["health"],
  security: [],
  response: {
    200: readiness("ready", "All checks are good."),
    503: readiness("not_ready", "At least one check failed."),
  },
};

interface CheckResult {
  readonly name: string;
  readonly ok: boolean;
  readonly detail?: string;
  readonly took_ms: number;
}

/** `GET /live` and `GET /ready`. Neither needs a key. */
export function healthRoutes(app: App, parts: HealthParts): void {
  let last: { readonly at: number; readonly results: Promise<readonly CheckResult[]> } | undefined;
  const results = (): Promise<readonly CheckResult[]> => {
    const now = parts.clock.now();
    if (last === undefined || now - last.at >= REUSE_MS)
      last = { at: now, results: Promise.all(parts.readyChecks.map((check) => run(check, parts))) };
    return last.results;
  };

  app.get("/live", { schema: live }, () => ({ status: "live" as const, version: parts.version }));

  app.get("/ready", { schema: ready }, async (_request, reply) => {
    const checks = [...(await results())];
    if (parts.stopping()) checks.push({ name: "running", ok: false, detail: "stopping", took_ms: 0 });
    return checks.every((check) => check.ok)
      ? reply.code(200).send({ status: "ready", checks })
      : reply.code(503).send({ status: "not_ready", checks });
  });
}

/** Never rejects. What a check throws is for the log, because this page is public. */
async function run(check: ReadyCheck, { clock, log }: HealthParts): Promise<CheckResult> {
  const begun = clock.now();
  const result = await new Promise<{ readonly ok: boolean; readonly detail?: string }>((resolve) => {
    const cancel = clock.after(CHECK_LIMIT_MS, () =>
      resolve({ ok: false, detail: `no answer within ${CHECK_LIMIT_MS} ms` }),
    );
    check
      .check()
      .catch((error: unknown) => {
        log.warn({ check: check.name, err: error }, "ready check failed");
        return { ok: false, detail: "failed; see the log" };
      })
      .then((outcome) => {
        cancel();
        resolve(outcome);
      });
  });
  return {
    name: check.name,
    ok: result.ok,
    ...(result.detail === undefined ? {} : { detail: result.detail }),
    took_ms: Math.round(clock.now() - begun),
  };
}
