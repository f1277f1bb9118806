import { expect, test } from "vitest";
import { parseInfoDigit } from "#sip/info-digit.ts";

test.each([
  ["application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", { digit: "5", durationMs: 160 }],
  ["application/dtmf-relay", "Signal= *\nDuration= 250", { digit: "*", durationMs: 250 }],
  ["application/dtmf-relay", "signal=d", { digit: "D", durationMs: 160 }],
  ["application/dtmf-relay", "Signal=11\r\nDuration=100", { digit: "#", durationMs: 100 }],
  ["application/dtmf-relay", "Signal=1\r\nDuration=999999", { digit: "1", durationMs: 5_000 }],
  ["application/dtmf-relay", "Signal=!\r\nDuration=1", undefined],
  ["application/dtmf-relay", "Signal=12345", undefined],
  ["application/dtmf-relay", "Duration=100", undefined],
  ["application/dtmf", "#", { digit: "#", durationMs: 160 }],
  ["application/dtmf", " 10\r\n", { digit: "*", durationMs: 160 }],
  ["application/dtmf", "", undefined],
  ["text/plain", "5", undefined],
])("%s %j is %j", (type, body, expected) => {
  expect(parseInfoDigit(type, body)).toEqual(expected);
});
