import { PonteError } from "#core/error.ts";
import { channel } from "./channel.ts";
import { check } from "./check.ts";
import { key } from "./key.ts";
import { replay } from "./replay.ts";
import { routeTest } from "./route-test.ts";
import { run } from "./run.ts";
import { selftest } from "./selftest.ts";
import { tenant } from "./tenant.ts";

/** One command of the command line. Resolves with its exit status. */
export type Command = (words: readonly string[]) => Promise<number>;

interface Entry {
  readonly command: Command;
  readonly says: string;
}

const commands: Readonly<Record<string, Entry>> = {
  run: { command: run, says: "run the daemon; without a configuration file, the sandbox" },
  sandbox: {
    command: (words) => run(["--sandbox", ...words]),
    says: "run the daemon against a simulated Meta and a demo PBX",
  },
  selftest: {
    command: selftest,
    says: "place simulated calls in a world of their own and say what was heard (--calls N, --seconds S, --json)",
  },
  check: { command: check, says: "check a configuration file" },
  channel: { command: channel, says: "connect a channel of the WPP Gateway: shows its QR code (channel connect)" },
  key: { command: key, says: "list, create or revoke API keys (key list, key create NAME, key revoke ID)" },
  "route-test": {
    command: routeTest,
    says: "say which rules an event would match, and what would be done (--event FILE)",
  },
  tenant: { command: tenant, says: "show who shares this daemon, or add somebody (tenant list, tenant create NAME)" },
  replay: { command: replay, says: "have events routed, or deliveries tried, again" },
};

function usage(): string {
  const lines = Object.entries(commands).map(([name, { says }]) => `  ponte ${name.padEnd(10)} ${says}`);
  return ["Usage:", ...lines, "", "The configuration is config/ponte.yaml, or the file that PONTE_CONFIG names."].join(
    "\n",
  );
}

/** Runs one command. Whatever fails is told in a sentence. */
export async function main(words: readonly string[]): Promise<number> {
  const [name = "help", ...rest] = words;
  const entry = commands[name];
  if (entry === undefined) {
    const asked = ["help", "--help", "-h"].includes(name);
    (asked ? console.log : console.error)(asked ? usage() : `ponte has no command ${name}.\n${usage()}`);
    return asked ? 0 : 2;
  }
  try {
    return await entry.command(rest);
  } catch (error) {
    if (!(error instanceof PonteError)) throw error;
    console.error(`ponte: ${error.message} (${error.code})`);
    return 1;
  }
}
