import { expect, test } from "vitest";
import { callWordOf, judge } from "#whatsapp/graph-errors.ts";

test.each([
  [100, 400, "never", /parameter or the SDP/],
  [190, 401, "never", /access token/],
  [0, 401, "never", /access token/],
  [10, 403, "never", /whatsapp_business_messaging/],
  [200, 403, "never", /whatsapp_business_messaging/],
  [299, 403, "never", /whatsapp_business_messaging/],
  [4, 429, "throttled", /Too many requests/],
  [80007, 429, "throttled", /Too many requests/],
  [130429, 429, "throttled", /Too many requests/],
  [131000, 500, "soon", /Meta's side/],
  [131016, 503, "soon", /Meta's side/],
  [131044, 400, "never", /payment/],
  [131055, 400, "never", /SIP mode/],
  [138000, 401, "never", /switch it on/],
  [138004, 500, "soon", /connect/],
  [138007, 500, "soon", /in time/],
  [138008, 400, "never", /fingerprint/],
  [138014, 400, "never", /paused/],
  [0, 0, "soon", /did not answer/],
  [0, 302, "never", /redirection/],
  [0, 403, "never", /whatsapp_business_messaging/],
  [0, 404, "never", /graph_version/],
  [0, 408, "soon", /Meta's side/],
  [0, 418, "never", /list of error codes/],
  [0, 429, "throttled", /Too many requests/],
  [0, 502, "soon", /Meta's side/],
  [999_999, 400, "never", /list of error codes/],
  [999_999, 500, "soon", /Meta's side/],
])("code %i with status %i is retried %s", (code, status, retry, hint) => {
  expect(judge(code, undefined, status, false)).toEqual({ retry, hint: expect.stringMatching(hint) });
});

test("what Meta calls transient is retried, and subcode 33 is about the phone number id", () => {
  expect(judge(100, undefined, 400, true).retry).toBe("soon");
  expect(judge(100, 33, 400, false).hint).toContain("phone_number_id");
});

test.each([
  ["The call_id is unknown for this phone number", true, false],
  ["Call ID not found", true, false],
  ["Invalid call_id", true, false],
  ["No such call", true, false],
  ["The call does not exist", true, false],
  ["The call has ended", true, false],
  ["This call was already terminated", true, false],
  ["The call is already completed: it was not answered in time", true, false],
  ["The call is already completed or failed", true, false],
  ["The call is no longer active", true, false],
  ["The call is already in progress, completed or failed", true, true],
  ["The call was already pre-accepted", false, true],
  ["The call was already accepted", false, true],
  ["A reject is already in progress", false, true],
  ["Invalid parameter", false, false],
  ["Call setup failed: SDP is invalid", false, false],
  ["The SDP of accept differs from that of pre_accept", false, false],
  ["No fingerprint found in SDP", false, false],
])("%s", (text, over, taken) => {
  expect(callWordOf(100, undefined, 400, `(#100) Invalid parameter ${text}`)).toEqual({ over, taken });
});

test.each([
  [190, undefined, 401],
  [100, 33, 400],
  [100, undefined, 500],
])("says nothing about the call: code %i, subcode %s, status %i", (code, subcode, status) => {
  expect(callWordOf(code, subcode, status, "The call has ended already")).toEqual({ over: false, taken: false });
});
