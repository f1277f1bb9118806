import { describe, expect, test } from "vitest";
import { inviteClient } from "#sip-agent/transaction/invite-client.ts";
import { inviteServer } from "#sip-agent/transaction/invite-server.ts";
import type {
  ClientEvent,
  ClientState,
  ServerEvent,
  ServerState,
  Setting,
  Step,
  TimerName,
} from "#sip-agent/transaction/machine.ts";
import { nonInviteClient } from "#sip-agent/transaction/non-invite-client.ts";
import { nonInviteServer } from "#sip-agent/transaction/non-invite-server.ts";

const udp: Setting = { t1Ms: 500, t2Ms: 4_000, t4Ms: 5_000, reliable: false };
const tcp: Setting = { ...udp, reliable: true };

type Machine<State, Event> = (state: State, event: Event, setting: Setting) => Step<State>;

/**
 * Runs a machine over virtual time. `script` says what happens when, in ms; timers fire in between. What comes out is the
 * story of the transaction: "0 send", "500 send", …, and its last state.
 */
function run<State extends { readonly name: string }, Event>(
  machine: Machine<State, Event | { type: "timer"; timer: TimerName }>,
  start: State,
  setting: Setting,
  script: readonly (readonly [at: number, event: Event])[],
): { story: string[]; state: string } {
  const story: string[] = [];
  const timers = new Map<TimerName, number>();
  const pending = [...script];
  let state = start;
  const take = (at: number, event: Event | { type: "timer"; timer: TimerName }): void => {
    const [next, actions] = machine(state, event, setting);
    state = next;
    for (const action of actions) {
      if (action.type === "start_timer") timers.set(action.timer, at + action.ms);
      else if (action.type === "stop_timer") timers.delete(action.timer);
      else story.push(`${at} ${action.type === "fail" ? action.cause : action.type}`);
      if (action.type === "terminate") timers.clear();
    }
  };
  for (;;) {
    const [timer, due] = [...timers].toSorted(([, a], [, b]) => a - b)[0] ?? [undefined, Number.POSITIVE_INFINITY];
    const [scripted] = pending;
    if (scripted !== undefined && scripted[0] <= due) {
      pending.shift();
      take(scripted[0], scripted[1]);
    } else if (timer !== undefined) {
      timers.delete(timer);
      take(due, { type: "timer", timer });
    } else return { story, state: state.name };
  }
}

const calling: ClientState = { name: "calling", repeatMs: 0 };
const trying: ClientState = { name: "trying", repeatMs: 0 };
const proceeding: ServerState = { name: "proceeding", repeatMs: 0 };
const tryingServer: ServerState = { name: "trying", repeatMs: 0 };

const start: ClientEvent = { type: "start" };
const response = (status: number): ClientEvent => ({ type: "response", status });
const broken = { type: "transport_error" } as const;
const respond = (status: number): ServerEvent => ({ type: "respond", status });
const repeat: ServerEvent = { type: "repeat" };
const ack: ServerEvent = { type: "ack" };

type Row<Event> = readonly [
  name: string,
  setting: Setting,
  script: readonly (readonly [number, Event])[],
  story: readonly string[],
];

describe("INVITE client (RFC 3261 §17.1.1, RFC 6026)", () => {
  const rows: readonly Row<ClientEvent>[] = [
    [
      "UDP, silence: timer A doubles, timer B ends it at 64·T1",
      udp,
      [[0, start]],
      [..."0 500 1500 3500 7500 15500 31500".split(" ").map((at) => `${at} send`), "32000 timeout", "32000 terminate"],
    ],
    ["TCP, silence: no repeats", tcp, [[0, start]], ["0 send", "32000 timeout", "32000 terminate"]],
    [
      "a provisional response ends the repeats and timer B",
      udp,
      [
        [0, start],
        [600, response(100)],
        [9_000, response(180)],
        [60_000, response(180)],
      ],
      ["0 send", "500 send", "600 deliver", "9000 deliver", "60000 deliver"],
    ],
    [
      "2xx: repeats of it and of other branches are delivered for 64·T1, nothing else is",
      udp,
      [
        [0, start],
        [100, response(200)],
        [700, response(200)],
        [800, response(180)],
        [900, response(486)],
        [32_099, response(200)],
        [32_101, response(200)],
      ],
      ["0 send", "100 deliver", "700 deliver", "32099 deliver", "32100 terminate"],
    ],
    [
      "failure over UDP: ACK, and again for every repeat until timer D",
      udp,
      [
        [0, start],
        [50, response(180)],
        [100, response(486)],
        [600, response(486)],
        [700, response(200)],
        [1_600, response(486)],
      ],
      [
        "0 send",
        "50 deliver",
        "100 acknowledge",
        "100 deliver",
        "600 acknowledge",
        "1600 acknowledge",
        "32600 terminate",
      ],
    ],
    [
      "failure over TCP: ACK, and gone",
      tcp,
      [
        [0, start],
        [100, response(603)],
      ],
      ["0 send", "100 acknowledge", "100 deliver", "100 terminate"],
    ],
    [
      "a transport error while calling",
      udp,
      [
        [0, start],
        [10, broken],
      ],
      ["0 send", "10 transport", "10 terminate"],
    ],
    [
      "a transport error of the ACK",
      udp,
      [
        [0, start],
        [10, response(500)],
        [20, broken],
      ],
      ["0 send", "10 acknowledge", "10 deliver", "20 transport", "20 terminate"],
    ],
  ];
  test.each(rows)("%s", (_, setting, script, story) => {
    expect(run<ClientState, ClientEvent>(inviteClient, calling, setting, script).story).toEqual(story);
  });
});

describe("non-INVITE client (RFC 3261 §17.1.2)", () => {
  const rows: readonly Row<ClientEvent>[] = [
    [
      "UDP, silence: timer E doubles up to T2, timer F ends it",
      udp,
      [[0, start]],
      [
        ..."0 500 1500 3500 7500 11500 15500 19500 23500 27500 31500".split(" ").map((at) => `${at} send`),
        "32000 timeout",
        "32000 terminate",
      ],
    ],
    ["TCP, silence", tcp, [[0, start]], ["0 send", "32000 timeout", "32000 terminate"]],
    [
      "after a provisional response it repeats every T2",
      udp,
      [
        [0, start],
        [100, response(100)],
        [9_000, response(200)],
        [9_100, response(200)],
      ],
      ["0 send", "100 deliver", "500 send", "4500 send", "8500 send", "9000 deliver", "14000 terminate"],
    ],
    [
      "a final response over UDP is absorbed again until timer K",
      udp,
      [
        [0, start],
        [100, response(404)],
        [200, response(404)],
      ],
      ["0 send", "100 deliver", "5100 terminate"],
    ],
    [
      "a final response over TCP",
      tcp,
      [
        [0, start],
        [100, response(200)],
      ],
      ["0 send", "100 deliver", "100 terminate"],
    ],
    [
      "a transport error",
      tcp,
      [
        [0, start],
        [10, broken],
      ],
      ["0 send", "10 transport", "10 terminate"],
    ],
  ];
  test.each(rows)("%s", (_, setting, script, story) => {
    expect(run<ClientState, ClientEvent>(nonInviteClient, trying, setting, script).story).toEqual(story);
  });
});

describe("INVITE server (RFC 3261 §17.2.1, RFC 6026)", () => {
  const rows: readonly Row<ServerEvent>[] = [
    [
      "a repeated INVITE gets the latest provisional response",
      udp,
      [
        [0, respond(100)],
        [500, repeat],
        [600, respond(180)],
        [1_500, repeat],
      ],
      ["0 send", "500 send", "600 send", "1500 send"],
    ],
    [
      "failure over UDP without an ACK: timer G doubles up to T2, timer H ends it",
      udp,
      [[0, respond(486)]],
      [
        ..."0 500 1500 3500 7500 11500 15500 19500 23500 27500 31500".split(" ").map((at) => `${at} send`),
        "32000 timeout",
        "32000 terminate",
      ],
    ],
    [
      "failure over UDP: the ACK stops it, repeats are absorbed until timer I",
      udp,
      [
        [0, respond(486)],
        [700, ack],
        [800, ack],
        [900, repeat],
      ],
      ["0 send", "500 send", "5700 terminate"],
    ],
    [
      "failure over TCP: sent once, gone with the ACK",
      tcp,
      [
        [0, respond(486)],
        [700, ack],
      ],
      ["0 send", "700 terminate"],
    ],
    [
      "2xx: repeated by the core only, INVITEs absorbed, gone after 64·T1",
      udp,
      [
        [0, respond(200)],
        [500, repeat],
        [600, respond(200)],
        [700, respond(486)],
        [800, broken],
      ],
      ["0 send", "600 send", "32000 terminate"],
    ],
    [
      "an RFC 2543 ACK with the INVITE's branch reaches the core",
      udp,
      [
        [0, respond(200)],
        [100, ack],
      ],
      ["0 send", "100 deliver", "32000 terminate"],
    ],
    ["a transport error", tcp, [[0, broken]], ["0 transport", "0 terminate"]],
  ];
  test.each(rows)("%s", (_, setting, script, story) => {
    expect(run<ServerState, ServerEvent>(inviteServer, proceeding, setting, script).story).toEqual(story);
  });
});

describe("non-INVITE server (RFC 3261 §17.2.2)", () => {
  const rows: readonly Row<ServerEvent>[] = [
    ["a repeat before any answer is absorbed", udp, [[500, repeat]], []],
    [
      "a repeat gets the latest answer, until timer J",
      udp,
      [
        [0, respond(100)],
        [500, repeat],
        [600, respond(200)],
        [1_500, repeat],
        [1_600, respond(500)],
      ],
      ["0 send", "500 send", "600 send", "1500 send", "32600 terminate"],
    ],
    ["over TCP it is gone with the answer", tcp, [[0, respond(200)]], ["0 send", "0 terminate"]],
    ["a transport error", udp, [[0, broken]], ["0 transport", "0 terminate"]],
  ];
  test.each(rows)("%s", (_, setting, script, story) => {
    expect(run<ServerState, ServerEvent>(nonInviteServer, tryingServer, setting, script).story).toEqual(story);
  });
});
