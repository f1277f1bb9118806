import { describe, expect, test } from "vitest";
import { FrameDecoder } from "#sip-agent/control/frame-decoder.ts";
import { encodeAnswer, encodeDelivery, encodeEcho, encodeFrame } from "#sip-agent/control/frames.ts";
import { parseSketch } from "#sip-agent/control/sketch.ts";
import { Headers } from "#sip-agent/message/headers.ts";
import { NO_BODY } from "#sip-agent/message/message.ts";

const NOON = Date.UTC(2026, 0, 1, 12, 0, 0, 7);

describe("frames of a client", () => {
  test.each([1, 2, 5, 100])("come whole out of pieces of %i bytes", (size) => {
    const stream = Buffer.from("5#hello7#grüße!3#a|b".replace("7#", `${Buffer.byteLength("grüße!")}#`));
    const decoder = new FrameDecoder(100);
    const out: string[] = [];
    for (let at = 0; at < stream.length; at += size) {
      out.push(...decoder.push(stream.subarray(at, at + size)).map((payload) => payload.toString()));
    }
    expect(out).toEqual(["hello", "grüße!", "a|b"]);
  });
  test.each(["x", "#x", "0#", "101#", "12345678901", "1 #x"])("%j is a fault", (text) => {
    const decoder = new FrameDecoder(100);
    expect(decoder.push(Buffer.from(text))).toEqual([]);
    expect(decoder.fault).toBeDefined();
  });
});

describe("frames to a client", () => {
  const message = { kind: "request", method: "INVITE", uri: "sip:a@b", headers: new Headers(), body: NO_BODY } as const;
  const delivery = {
    source: "network",
    message,
    protocol: "udp",
    remote: { host: "10.0.0.1", port: 5060 },
    transactionId: "T",
    dialogId: "",
  } as const;
  const head = (frame: Buffer): string[] => (frame.toString().split("#")[1] ?? "").split("\r\n")[0]?.split("|") ?? [];

  test("a delivery has at least ten tokens, also without dialog and without peer", () => {
    const tokens = head(encodeDelivery("F", delivery, NOON));
    expect(tokens).toEqual(["F", "sip", "network", "45", "udp", "10.0.0.1", "5060", "12:00:00.007000", "T", "", ""]);
    const { remote: _, ...made } = delivery;
    expect(head(encodeDelivery("F", made, NOON)).slice(5, 7)).toEqual(["", "0"]);
  });
  test("a new request says where it was received", () => {
    const tokens = head(encodeDelivery("F", { ...delivery, receivedOn: { host: "10.0.0.5", port: 5070 } }, NOON));
    expect(tokens.slice(8)).toEqual(["T", "", "10.0.0.5", "5070", ""]);
  });
  test("a Call-ID cannot break the head", () => {
    expect(head(encodeDelivery("F", { ...delivery, dialogId: "a|b;from-tag=1" }, NOON))[9]).toBe("a b;from-tag=1");
  });
  test("an echo has the transaction at position 10, and for responses the dialog behind it", () => {
    const echo = {
      message,
      protocol: "tcp",
      address: { host: "10.0.0.1", port: 1 },
      transactionId: "T",
      dialogId: "D",
    } as const;
    expect(head(encodeEcho("F", "R", echo, true, NOON)).slice(10)).toEqual(["T", "D", "", "Msg sent:", ""]);
    expect(head(encodeEcho("F", "R", echo, false, NOON)).slice(10)).toEqual(["T", "Msg sent:", ""]);
  });
  test("lengths are in bytes", () => {
    expect(encodeFrame("ä").toString()).toBe("2#ä");
    expect(encodeAnswer("F", "R", "NOK", "a|b\r\nc").toString()).toBe("23#F|response|R|NOK|a b  c");
  });
});

describe("the sketch of a client", () => {
  const sketch = (text: string) => parseSketch(Buffer.from(text), 20);
  test("keeps what it knows, drops what only the agent writes, takes the rest as body", () => {
    const parsed = sketch(
      "INVITE sip:a@b SIP/2.0\r\nfrom: x\r\nVia: y\r\nRoute: z\r\nX_Y-1: 1\r\nBad Name: 2\r\nContent-Length: 1\r\n\r\nv=0\r\n\r\nmore",
    );
    if (!parsed.ok) throw new Error(parsed.reason);
    expect([...parsed.sketch.headers]).toEqual([
      ["From", "x"],
      ["X_Y-1", "1"],
    ]);
    expect(parsed.dropped).toEqual(["Bad Name"]);
    expect(parsed.sketch.body.toString()).toBe("v=0\r\n\r\nmore");
  });
  test.each([
    ["SIP/2.0 180 Ringing\r\n\r\n", { kind: "response", status: 180, reason: "Ringing" }],
    ["SIP/2.0 200\r\n", { kind: "response", status: 200, reason: "" }],
    [
      "ACK sip:placeholder SIP/2.0\r\ncontent-length: 0\r\n\r\n",
      { kind: "request", method: "ACK", uri: "sip:placeholder" },
    ],
  ])("%j", (text, expected) => {
    expect(sketch(text)).toMatchObject({ ok: true, sketch: expected });
  });
  test.each([
    "",
    "INVITE sip:a@b",
    "invite sip:a@b SIP/2.0\r\n\r\n",
    "INVITE sip:a b SIP/2.0\r\n\r\n",
    "SIP/2.0 99 x\r\n\r\n",
    "INVITE sip:a@b SIP/2.0\r\nX: a\nY: b\r\n\r\n",
    "INVITE sip:a@b SIP/2.0\r\nX: a\rY: b\r\n\r\n",
    "INVITE sip:a\0@b SIP/2.0\r\n\r\n",
  ])("%j is refused", (text) => {
    expect(sketch(text).ok).toBe(false);
  });
});
