import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { Cleanup } from "./support.ts";

const run = process.env["PONTE_ASTERISK"];

/** Why there is no Asterisk here; undefined when there is one, or must be one. */
export const asteriskReason =
  run !== undefined || process.env["PONTE_REQUIRE_PEERS"] === "1" ? undefined : " (PONTE_ASTERISK is not set)";

export interface Asterisk {
  readonly port: number;
}

async function freePort(): Promise<number> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  await once(socket, "close");
  return port;
}

/** An Asterisk of its own, on a free port. */
export async function startAsterisk(cleanup: Cleanup): Promise<Asterisk> {
  if (run === undefined) throw new Error("PONTE_REQUIRE_PEERS is set, but PONTE_ASTERISK is not");
  const port = await freePort();
  const args = ["--sip", `127.0.0.1:${port}`, "--ponte", "127.0.0.1:5060", "--rtp", "27200-27399"];
  const child = cleanup.add(spawn(run, args, { stdio: ["ignore", "pipe", "ignore"] }), async (each) => {
    if (each.exitCode !== null) return;
    each.kill("SIGTERM");
    await once(each, "exit");
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout.on("data", (chunk: Buffer) => {
      if (chunk.includes("READY")) resolve();
    });
    child.once("error", reject);
    child.once("exit", () => reject(new Error("Asterisk did not start")));
  });
  return { port };
}
