import { execFile } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { promisify } from "node:util";

const exec = promisify(execFile);

/** A helper process (a version question, `useradd`) that takes longer than this hangs. */
const HELPER_TIMEOUT_MS = 20_000;

/** Under whom Postgres runs. It refuses to run as root, so a daemon that is root has to lend it another user. */
export interface Account {
  readonly name: string;
  /** Absent: as the daemon itself. */
  readonly ids?: { readonly uid: number; readonly gid: number };
  /** Put before every command line. */
  readonly prefix: readonly string[];
}

/** In a user namespace, root may call itself nobody and keep its files: the way out where no other user can be had. */
const inNamespace: Account = {
  name: "root in a user namespace",
  prefix: ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--"],
};

function processUid(): number {
  return process.getuid?.() ?? -1;
}

/** Lines of `/etc/passwd`, which is where Postgres itself looks its user up. */
function users(): readonly { readonly name: string; readonly uid: number; readonly gid: number }[] {
  if (!existsSync("/etc/passwd")) return [];
  return readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"))
    .filter((field) => field.length >= 4)
    .map(([name = "", , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }))
    .filter((user) => Number.isInteger(user.uid) && Number.isInteger(user.gid) && user.uid > 0);
}

function named(name: string): Account | undefined {
  const user = users().find((one) => one.name === name);
  return user === undefined ? undefined : { name, ids: { uid: user.uid, gid: user.gid }, prefix: [] };
}

async function createdUser(): Promise<Account | undefined> {
  try {
    await exec("useradd", ["--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "ponte"], {
      timeout: HELPER_TIMEOUT_MS,
    });
    return named("ponte");
  } catch {
    // No useradd (Alpine, macOS), or /etc is read-only: another user will do.
    return undefined;
  }
}

/**
 * Chooses the account for a cluster in `pgdata`: its owner if it exists already, else the daemon's own user, else (as
 * root) `ponte`, which is created where that is allowed, `postgres`, `nobody`, and last a user namespace.
 */
export async function chooseAccount(pgdata: string, mayCreateUser: boolean): Promise<Account> {
  if (processUid() !== 0) return { name: String(processUid()), prefix: [] };
  if (existsSync(pgdata)) {
    const owner = statSync(pgdata).uid;
    const user = users().find((one) => one.uid === owner);
    return user === undefined ? inNamespace : { name: user.name, ids: { uid: user.uid, gid: user.gid }, prefix: [] };
  }
  const made = named("ponte") ?? (mayCreateUser ? await createdUser() : undefined);
  return made ?? named("postgres") ?? named("nobody") ?? inNamespace;
}

/** A command line as the account runs it. The working directory is `/`, because the daemon's own may be closed to it. */
export function asAccount(account: Account, command: readonly string[]) {
  const [file = "", ...args] = [...account.prefix, ...command];
  return { file, args, options: { cwd: "/", ...(account.ids ?? {}) } };
}

/** Runs a short command as the account and returns what it printed. Throws what `execFile` throws. */
export async function runAs(account: Account, command: readonly string[], env: NodeJS.ProcessEnv = process.env) {
  const { file, args, options } = asAccount(account, command);
  const { stdout, stderr } = await exec(file, args, { ...options, env, timeout: HELPER_TIMEOUT_MS });
  return { stdout, stderr };
}

/** Whether the account can enter a directory; asked of the kernel, which knows about modes, lists and mounts. */
export async function canEnter(account: Account, directory: string): Promise<boolean> {
  try {
    await runAs(account, ["/bin/sh", "-c", 'cd -- "$0"', directory]);
    return true;
  } catch {
    return false;
  }
}
