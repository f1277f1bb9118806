import { expect, test } from "vitest";
import { agreementOf, answerRefresh, continueSession, isTooShort } from "#sip-agent/dialog/session-agreement.ts";
import { SessionTimer } from "#sip-agent/dialog/session-timer.ts";
import { Headers } from "#sip-agent/message/headers.ts";
import { NO_BODY, type SipRequest, type SipResponse } from "#sip-agent/message/message.ts";
import { ManualClock } from "#test/protocol/sip-agent/support/clock.ts";

const ok = (...entries: [string, string][]): SipResponse => ({
  kind: "response",
  status: 200,
  reason: "OK",
  headers: Headers.from(entries),
  body: NO_BODY,
});
const invite = (...entries: [string, string][]): SipRequest => ({
  kind: "request",
  method: "INVITE",
  uri: "sip:a@b",
  headers: Headers.from(entries),
  body: NO_BODY,
});

test.each([
  ["us", "1800;refresher=uac", { intervalS: 1800, refresher: "us" }],
  ["us", "1800;refresher=uas", { intervalS: 1800, refresher: "them" }],
  ["them", "1800;refresher=uac", { intervalS: 1800, refresher: "them" }],
  ["them", "1800 ; Refresher=UAS", { intervalS: 1800, refresher: "us" }],
  ["us", "1800", { intervalS: 1800, refresher: "us" }],
  ["us", "10", { intervalS: 90, refresher: "us" }],
  ["us", "soon", undefined],
] as const)("a request of %s answered with Session-Expires %s", (sender, value, agreement) => {
  expect(agreementOf(sender, ok(["Session-Expires", value]), 90)).toEqual(agreement);
});

test("without the header there is no timer", () => {
  expect(agreementOf("us", ok(), 90)).toBeUndefined();
});

test("too short is only what a peer that knows timers asks for", () => {
  expect(isTooShort(invite(["Session-Expires", "60"], ["Supported", "100rel, timer"]), 90)).toBe(true);
  expect(isTooShort(invite(["Session-Expires", "60"]), 90)).toBe(false);
  expect(isTooShort(invite(["Session-Expires", "90"], ["Supported", "timer"]), 90)).toBe(false);
});

test("a refresh is answered for the application, but not over its head", () => {
  const running = { intervalS: 120, refresher: "us" } as const;
  const answer = (request: SipRequest, headers = new Headers()): (string | undefined)[] => {
    answerRefresh(request, headers, running);
    return [headers.get("Session-Expires"), headers.get("Require")];
  };
  expect(answer(invite(["Session-Expires", "100;refresher=uac"]))).toEqual(["100;refresher=uac", "timer"]);
  expect(answer(invite(["Supported", "timer"]))).toEqual(["120;refresher=uas", undefined]);
  expect(answer(invite())).toEqual([undefined, undefined]);
  expect(answer(invite(["Session-Expires", "100"]), Headers.from([["Session-Expires", "300;refresher=uas"]]))).toEqual([
    "300;refresher=uas",
    undefined,
  ]);
});

test("our own re-INVITE asks for the timer to go on", () => {
  const headers = new Headers();
  continueSession(headers, { intervalS: 120, refresher: "them" });
  expect([headers.get("Session-Expires"), headers.get("Supported")]).toEqual(["120;refresher=uas", "timer"]);
});

test.each([
  ["us", 120, [60, 65, 70, 75, 80, 85, 90, 95, 100, 105, 110, 115], 120],
  ["them", 120, [], 88],
  ["them", 90, [], 60],
] as const)("when %s refresh at %i s", (refresher, intervalS, refreshes, end) => {
  const clock = new ManualClock();
  const begin = clock.now();
  const at = (): number => (clock.now() - begin) / 1000;
  const seen: number[] = [];
  let ended = 0;
  const timer = new SessionTimer(
    clock,
    { intervalS, refresher },
    {
      refresh: () => void seen.push(at()),
      expire: () => {
        ended = at();
      },
    },
  );
  timer.start();
  clock.advance(400_000);
  expect(seen).toEqual(refreshes);
  expect(ended).toBe(end);
  expect(clock.pending).toBe(0);
});
