import { PonteError } from "#core/error.ts";
import { channel } from "./channel.ts";
import { check } from "./check.ts";
import { run } from "./run.ts";
import { selftest } from "./selftest.ts";

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
    says: "place simulated calls and say what was heard (--calls N, --seconds S, --json)",
  },
  channel: { command: channel, says: "connect a WhatsApp channel: shows the QR code (connect --url URL --key KEY)" },
  check: { command: check, says: "check a configuration file" },
};

function usage(): string {
  const lines = Object.entries(commands).map(([name, { says }]) => `  ponte ${name.padEnd(9)} ${says}`);
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
