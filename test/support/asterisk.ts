import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { freePort } from "#test/support/free-port.ts";
import { pathOf } from "#test/support/peers.ts";
import type { TestPbx } from "#test/support/world.ts";

/** What the script's manager account is called. */
const USER = "test";
const PASSWORD = "secret";
/** Asterisk loads its modules and says READY; a busy machine takes its time. */
const START_MS = 45_000;
/** Each process has RTP ports of its own, below those that the system gives to anybody. */
const firstRtpPort = 12_000 + (process.pid % 75) * 100;

export interface AsteriskOptions {
  /** By Asterisk's names. */
  readonly codecs?: string;
  /** Where it finds ponte, when somebody listens there already. */
  readonly pontePort?: number;
}

/** An Asterisk of a test file's own. Its numbers are those of the demo PBX. */
export class Asterisk implements TestPbx {
  readonly host = "127.0.0.1";
  readonly port: number;
  readonly pontePort: number;
  readonly #child: ChildProcess;
  readonly #manager: Manager;

  private constructor(
    child: ChildProcess,
    ports: { readonly port: number; readonly pontePort: number },
    manager: Manager,
  ) {
    this.#child = child;
    this.port = ports.port;
    this.pontePort = ports.pontePort;
    this.#manager = manager;
  }

  static async start(options: AsteriskOptions = {}): Promise<Asterisk> {
    const [port, managerPort] = [await freePort(), await freePort()];
    const pontePort = options.pontePort ?? (await freePort());
    const child = spawn(
      pathOf("asterisk"),
      [
        ...["--sip", `127.0.0.1:${port}`, "--ponte", `127.0.0.1:${pontePort}`],
        ...["--rtp", `${firstRtpPort}-${firstRtpPort + 99}`, "--ami", String(managerPort)],
        ...["--codecs", options.codecs ?? "opus,ulaw,alaw"],
      ],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    // Also when a hook that failed never came to the stop.
    const last = (): void => void child.kill("SIGTERM");
    process.once("exit", last);
    child.once("exit", () => process.off("exit", last));
    try {
      await ready(child);
      return new Asterisk(child, { port, pontePort }, await Manager.connect(managerPort));
    } catch (error) {
      await end(child);
      throw error;
    }
  }

  async calls(): Promise<number> {
    const { CoreCurrentCalls } = await this.#manager.ask("CoreStatus");
    return Number(CoreCurrentCalls);
  }

  /** What number 610 has read of each call so far, in order. */
  digitsRead(): readonly string[] {
    return this.#manager.events
      .filter((event) => event["UserEvent"] === "Digits")
      .map((event) => event["Digits"] ?? "");
  }

  async stop(): Promise<void> {
    this.#manager.close();
    await end(this.#child);
  }
}

type Packet = Readonly<Record<string, string>>;

/** A client of Asterisk's manager interface: blocks of `Name: value` lines, an empty line after each. */
class Manager {
  readonly events: Packet[] = [];
  readonly #socket: Socket;
  readonly #answers = new Map<string, (packet: Packet) => void>();
  #pending = "";
  #lastId = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => this.#read(text));
    socket.on("error", () => undefined);
  }

  static async connect(port: number): Promise<Manager> {
    const socket = createConnection(port, "127.0.0.1");
    await once(socket, "connect");
    const manager = new Manager(socket);
    await manager.ask("Login", { Username: USER, Secret: PASSWORD });
    return manager;
  }

  ask(action: string, fields: Packet = {}): Promise<Packet> {
    this.#lastId += 1;
    const id = String(this.#lastId);
    const lines = Object.entries({ Action: action, ActionID: id, ...fields }).map(
      ([name, value]) => `${name}: ${value}`,
    );
    return new Promise((resolve, reject) => {
      this.#answers.set(id, (packet) => {
        this.#answers.delete(id);
        if (packet["Response"] === "Success") resolve(packet);
        else reject(new Error(`asterisk: ${action}: ${packet["Message"]}`));
      });
      this.#socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(text: string): void {
    const blocks = (this.#pending + text).split("\r\n\r\n");
    this.#pending = blocks.pop() ?? "";
    for (const block of blocks) {
      const packet = Object.fromEntries(
        block.split("\r\n").flatMap((line) => {
          const [name = "", ...value] = line.split(":");
          return value.length === 0 ? [] : [[name, value.join(":").trim()]];
        }),
      ) as Packet;
      if ("Response" in packet) this.#answers.get(packet["ActionID"] ?? "")?.(packet);
      else if ("Event" in packet) this.events.push(packet);
    }
  }
}

async function ready(child: ChildProcess): Promise<void> {
  const said: string[] = [];
  let timer: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`Asterisk is not ready: ${said.join("")}`)), START_MS);
      child.stdout?.on("data", (chunk: Buffer) => {
        if (chunk.includes("READY")) resolve();
      });
      child.stderr?.on("data", (chunk: Buffer) => said.push(chunk.toString()));
      child.once("error", reject);
      child.once("exit", () => reject(new Error(`Asterisk did not start: ${said.join("")}`)));
    });
  } finally {
    clearTimeout(timer);
  }
}

/** The script ends Asterisk when it is told to end. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  await gone;
}
