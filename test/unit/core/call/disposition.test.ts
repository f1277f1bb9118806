import { expect, test } from "vitest";
import { fromSipStatus } from "#core/call/disposition.ts";

test.each([
  [302, "failed", "pbx_refused", 127],
  [400, "failed", "pbx_refused", 127],
  [401, "failed", "pbx_refused", 21],
  [403, "declined", "pbx_refused", 21],
  [404, "not_found", "pbx_not_found", 1],
  [407, "failed", "pbx_refused", 21],
  [408, "unreachable", "pbx_unreachable", 102],
  [410, "not_found", "pbx_not_found", 22],
  [480, "no_answer", "pbx_no_answer", 18],
  [484, "not_found", "pbx_not_found", 28],
  [486, "busy", "pbx_busy", 17],
  [487, "cancelled", "pbx_declined", 31],
  [488, "failed", "no_common_codec", 88],
  [500, "unreachable", "pbx_unavailable", 41],
  [502, "unreachable", "pbx_unavailable", 38],
  [503, "unreachable", "pbx_unavailable", 41],
  [504, "unreachable", "pbx_unreachable", 102],
  [513, "unreachable", "pbx_unavailable", 41],
  [600, "busy", "pbx_busy", 17],
  [603, "declined", "pbx_declined", 21],
  [604, "not_found", "pbx_not_found", 1],
  [606, "failed", "no_common_codec", 88],
  [699, "declined", "pbx_declined", 21],
])("SIP %i is %s, %s, Q.850 %i", (status, result, cause, q850) => {
  expect(fromSipStatus(status)).toEqual({ result, by: "pbx", cause, sipStatus: status, q850 });
});
