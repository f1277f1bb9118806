import { connect, type Socket } from "node:net";
import { INGESTION_SECRET } from "#test/support/http-router.ts";

/** Requests over keep-alive connections, one at a time on each; written and counted as bytes, so that the load costs little. */

export interface LoadResult {
  readonly perSecond: number;
  readonly p99Ms: number;
}

const padding = "x".repeat(600);
let made = 0;

function request(run: string): string {
  made += 1;
  const body = JSON.stringify({
    event_type: "billing.invoice.paid",
    source_system: "bench",
    external_id: `${run}-${made}`,
    payload: { invoice: { id: made, note: padding } },
  });
  const head = `POST /api/events HTTP/1.1\r\nhost: x\r\nx-event-ingestion-secret: ${INGESTION_SECRET}\r\ncontent-type: application/json`;
  return `${head}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

class Line {
  readonly times: number[] = [];
  readonly #socket: Socket;
  #sentAt = 0;
  #seen = "";
  #counting = false;

  constructor(port: number, run: string) {
    this.#socket = connect({ host: "127.0.0.1", port, noDelay: true }, () => this.#send(run));
    this.#socket.setEncoding("latin1");
    this.#socket.on("data", (text: string) => this.#heard(text, run));
    this.#socket.on("error", (error) => {
      throw error;
    });
  }

  count(on: boolean): void {
    this.#counting = on;
  }

  close(): void {
    this.#socket.removeAllListeners("data");
    this.#socket.destroy();
  }

  #send(run: string): void {
    this.#sentAt = performance.now();
    this.#socket.write(request(run));
  }

  #heard(text: string, run: string): void {
    this.#seen += text;
    const end = this.#seen.indexOf("\r\n\r\n");
    const length = Number(/content-length: (\d+)/i.exec(this.#seen)?.[1] ?? Number.NaN);
    if (end < 0 || this.#seen.length < end + 4 + length) return;
    if (!this.#seen.startsWith("HTTP/1.1 200")) throw new Error(this.#seen.slice(0, 300));
    this.#seen = "";
    if (this.#counting) this.times.push(performance.now() - this.#sentAt);
    this.#send(run);
  }
}

export async function load(port: number, connections: number, warmUpMs: number, ms: number): Promise<LoadResult> {
  const run = `${process.pid}-${port}-${made}`;
  const lines = Array.from({ length: connections }, () => new Line(port, run));
  const pause = (time: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, time));
  await pause(warmUpMs);
  for (const line of lines) line.count(true);
  const startedAt = performance.now();
  await pause(ms);
  const elapsedMs = performance.now() - startedAt;
  for (const line of lines) line.close();
  const times = lines.flatMap((line) => line.times).toSorted((x, y) => x - y);
  return { perSecond: (times.length * 1_000) / elapsedMs, p99Ms: times[Math.floor(times.length * 0.99)] ?? 0 };
}
