import { beforeEach, expect, test } from "vitest";
import type { DrachtioReply, DrachtioRequest } from "#sip/drachtio.ts";
import { InDialog, timerHeaders } from "#sip/in-dialog.ts";
import { IncomingRequest } from "#sip/message.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { quietLog } from "#test/support/quiet-log.ts";

let clock: FakeClock;
let alive: boolean;
let answerMedia: (sdp: string | undefined) => void;
let inDialog: InDialog;

beforeEach(() => {
  clock = new FakeClock();
  alive = true;
  inDialog = new InDialog({
    clock,
    log: quietLog(),
    alive: () => alive,
    events: {
      onReoffer: () =>
        new Promise((resolve) => {
          answerMedia = resolve;
        }),
      onReofferWanted: () => Promise.resolve("v=0"),
      onReofferAnswered: () => undefined,
      onDigit: () => undefined,
    },
  });
});

/** A request with the responses that it got, and a way to take it back. */
function offer(method = "INVITE"): { readonly request: IncomingRequest; readonly got: number[]; cancel: () => void } {
  const got: number[] = [];
  let cancel: () => void = () => undefined;
  const headers: Record<string, string> = { "Content-Type": "application/sdp" };
  const request: Partial<DrachtioRequest> = {
    method,
    body: "v=0",
    source: "network",
    get: (name) => headers[name],
    on: (_: string, listener: never) => {
      cancel = listener;
    },
  };
  const reply = { finished: false, send: (status: number) => void got.push(status) };
  return {
    request: new IncomingRequest(request as DrachtioRequest, reply as unknown as DrachtioReply),
    got,
    cancel: () => cancel(),
  };
}

test("one offer is answered at a time", async () => {
  const [first, second, third] = [offer(), offer("UPDATE"), offer()];
  inDialog.handle(first.request);
  inDialog.handle(second.request);
  answerMedia("v=0");
  await expect.poll(() => first.got).toEqual([200]);
  expect(second.got).toEqual([500]);
  inDialog.handle(third.request);
  answerMedia(undefined);
  await expect.poll(() => third.got).toEqual([488]);
  expect(clock.pending).toBe(0);
});

test("an offer that media does not answer in time gets 500", async () => {
  const { request, got } = offer();
  inDialog.handle(request);
  clock.advance(5_000);
  expect(got).toEqual([500]);
  answerMedia("v=0");
  await Promise.resolve();
  expect(got).toEqual([500]);
});

test("an offer that is open when the call ends gets 487, and leaves no timer", () => {
  const { request, got } = offer();
  inDialog.handle(request);
  alive = false;
  inDialog.close();
  expect(got).toEqual([487]);
  expect(clock.pending).toBe(0);
});

test("an offer that was taken back gets nothing more, and the next one is taken", async () => {
  const [first, second] = [offer(), offer()];
  inDialog.handle(first.request);
  first.cancel();
  inDialog.handle(second.request);
  answerMedia("v=0");
  await expect.poll(() => second.got).toEqual([200]);
  expect(first.got).toEqual([]);
  expect(clock.pending).toBe(0);
});

test.each([
  ["1800;refresher=uac", "timer", { "Session-Expires": "1800;refresher=uac", Require: "timer" }],
  ["1800;refresher=uas", "timer", { "Session-Expires": "1800;refresher=uas" }],
  ["90", "100rel, timer", { "Session-Expires": "90;refresher=uac", Require: "timer" }],
  ["90;refresher=uac", "100rel", { "Session-Expires": "90;refresher=uas" }],
  ["soon", "timer", {}],
  [undefined, "timer", {}],
])("RFC 4028 §9: Session-Expires %j with Supported %j is answered by %j", (expires, supported, expected) => {
  const headers: Record<string, string | undefined> = { "Session-Expires": expires, Supported: supported };
  expect(timerHeaders({ header: (name) => headers[name] })).toEqual(expected);
});
