import type { OutgoingHandlers, OutgoingRequest } from "#sip/connection.ts";
import type { Answer } from "#sip/message.ts";

/** One request that was sent, with what a test lets come of it. */
export interface Sent {
  readonly request: OutgoingRequest;
  readonly on: OutgoingHandlers;
  /** ACK, CANCEL: what the edge did with it besides. */
  readonly done: string[];
}

/** The SIP engine of a unit test: notes what is sent, and answers when told. */
export class FakeConnection {
  readonly sent: Sent[] = [];

  send(request: OutgoingRequest, on: OutgoingHandlers = {}): void {
    this.sent.push({ request, on, done: [] });
  }

  /** The methods in order, each with what was done with it: `INVITE+CANCEL`. */
  get story(): string[] {
    return this.sent.map(({ request, done }) => [request.method, ...done].join("+"));
  }

  last(): Sent {
    const last = this.sent.at(-1);
    if (last === undefined) throw new Error("nothing was sent");
    return last;
  }

  /** The engine says what it sent. */
  echo({ request, on, done }: Sent = this.last()): void {
    const headers: Record<string, string> = { "Call-ID": "c1", From: "<sip:a@b>;tag=1", CSeq: `7 ${request.method}` };
    on.onSent?.({
      uri: request.uri ?? "sip:target",
      header: (name) => headers[name],
      cancel: () => done.push("CANCEL"),
    });
  }

  answer(
    status: number,
    more: { body?: string; headers?: Record<string, string>; local?: boolean } = {},
    to?: Sent,
  ): void {
    const { on, done } = to ?? this.last();
    const answer: Answer = {
      status,
      reason: "Because",
      body: more.body ?? "",
      dialogId: "c1;from-tag=1",
      fromNetwork: more.local !== true,
      header: (name) => more.headers?.[name],
    };
    on.onAnswer?.(answer, () => done.push(status < 200 ? "PRACK" : "ACK"));
  }
}
