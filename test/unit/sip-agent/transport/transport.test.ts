import { describe, expect, test } from "vitest";
import { parseUri } from "#sip-agent/message/uri.ts";
import { peerList } from "#sip-agent/transport/address.ts";
import { chooseListener, Listener } from "#sip-agent/transport/listener.ts";
import { type Dns, protocolOf, resolve } from "#sip-agent/transport/resolve.ts";
import { StreamFramer } from "#sip-agent/transport/stream-framer.ts";

describe("peers", () => {
  const isPeer = peerList(["10.0.0.9", "192.168.0.0/16", "2001:db8::/32"]);
  test.each([
    ["10.0.0.9", true],
    ["10.0.0.8", false],
    ["192.168.44.1", true],
    ["2001:db8:1::1", true],
    ["2001:db9::1", false],
    ["", false],
    ["localhost", false],
  ])("%j: %s", (host, expected) => {
    expect(isPeer(host)).toBe(expected);
  });
  test.each(["pbx.example", "10.0.0.0/33", "10.0.0.1/", "10.0.0.1/8/8", "", "::1/129", "10.0.0/8"])(
    "%j stops the start",
    (peer) => {
      expect(() => peerList([peer])).toThrow("not an address or network");
    },
  );
  test("nobody is a peer of an empty list", () => {
    expect(peerList([])("127.0.0.1")).toBe(false);
  });
});

describe("the listener for a request", () => {
  const loop = new Listener("udp", { host: "127.0.0.1", port: 1 }, undefined);
  const lan = new Listener("udp", { host: "10.0.0.5", port: 2 }, undefined);
  const wan = new Listener("udp", { host: "203.0.113.5", port: 3 }, "198.51.100.7");
  const six = new Listener("udp", { host: "::1", port: 4 }, undefined);
  const tcp = new Listener("tcp", { host: "10.0.0.5", port: 5 }, undefined);
  const all = [loop, lan, wan, six, tcp];
  test.each([
    ["udp", "127.0.0.1", loop],
    ["udp", "10.0.0.77", lan],
    ["udp", "8.8.8.8", wan],
    ["udp", "::1", six],
    ["tcp", "10.0.0.77", tcp],
    ["tcp", "::1", undefined],
  ] as const)("%s to %s", (protocol, remote, expected) => {
    expect(chooseListener(all, protocol, remote)).toBe(expected);
  });
  test("says its external address, but its own to this machine", () => {
    expect(wan.advertised("8.8.8.8")).toEqual({ host: "198.51.100.7", port: 3 });
    expect(wan.advertised("127.0.0.1")).toEqual({ host: "203.0.113.5", port: 3 });
  });
});

describe("the next hop", () => {
  const udp = new Listener("udp", { host: "127.0.0.1", port: 1 }, undefined);
  const dns = (address: string | undefined, service?: { name: string; port: number }): Dns => ({
    addresses: () => Promise.resolve(address === undefined ? [] : ["::1", address]),
    service: () => (service === undefined ? Promise.reject(new Error("none")) : Promise.resolve([service])),
  });
  const context = (names: Dns) => ({
    listeners: [udp],
    choose: (protocol: "udp" | "tcp", host: string) => chooseListener([udp], protocol, host),
    dns: names,
  });
  const target = async (uri: string, names: Dns): Promise<string> => {
    const resolution = await resolve(uri, context(names));
    return resolution.ok ? `${resolution.flow.remote.host}:${resolution.flow.remote.port}` : resolution.reason;
  };
  test.each([
    ["sip:a@127.0.0.2", "127.0.0.2:5060"],
    ["sip:a@127.0.0.2:5099", "127.0.0.2:5099"],
    ["sip:a@name;maddr=127.0.0.3", "127.0.0.3:5060"],
    ["sip:a@127.0.0.2;transport=tcp", "requested protocol/transport not available"],
    ["sips:a@127.0.0.2", "requested protocol/transport not available"],
    ["sip:a@[::1]", "requested protocol/transport not available"],
    ["tel:123", "invalid request-uri: tel:123"],
  ])("%s → %s", async (uri, expected) => {
    expect(await target(uri, dns(undefined))).toBe(expected);
  });
  test("a literal is resolved at once", () => {
    expect(resolve("sip:a@127.0.0.2", context(dns(undefined)))).not.toBeInstanceOf(Promise);
  });
  test("a name with a port is not asked for services", async () => {
    expect(await target("sip:a@pbx:5070", dns("127.0.0.9", { name: "other", port: 1 }))).toBe("127.0.0.9:5070");
  });
  test("a name without port is, and its address is the last resort", async () => {
    expect(await target("sip:a@pbx", dns("127.0.0.9", { name: "other", port: 7 }))).toBe("127.0.0.9:7");
    expect(await target("sip:a@pbx", dns("127.0.0.9"))).toBe("127.0.0.9:5060");
    expect(await target("sip:a@pbx", dns(undefined))).toBe("cannot resolve pbx");
  });
  test.each([
    ["sip:h", "udp"],
    ["sip:h;transport=TCP", "tcp"],
    ["sip:h;transport=tls", undefined],
  ])("%s is for %s", (text, protocol) => {
    const uri = parseUri(text);
    expect(uri === undefined ? "no uri" : protocolOf(uri)).toBe(protocol);
  });
});

describe("a TCP stream", () => {
  const message = (body: string): Buffer =>
    Buffer.from(`OPTIONS sip:a SIP/2.0\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  test.each([1, 2, 3, 7, 1_000])("in pieces of %i bytes gives the same messages", (size) => {
    const stream = Buffer.concat([
      message("héllo"),
      Buffer.from("\r\n\r\n"),
      message(""),
      Buffer.from("\r\n"),
      message("x"),
    ]);
    const framer = new StreamFramer(1_000);
    const pieces = [];
    for (let at = 0; at < stream.length; at += size) pieces.push(...framer.push(stream.subarray(at, at + size)));
    expect(pieces.map((piece) => (piece.type === "ping" ? "ping" : piece.bytes.toString()))).toEqual([
      message("héllo").toString(),
      "ping",
      message("").toString(),
      message("x").toString(),
    ]);
  });
  test.each([
    ["no end of the head", Buffer.alloc(1_001, "x")],
    ["a body that is too long", Buffer.from("A sip:a SIP/2.0\r\nl: 2000\r\n\r\n")],
    ["a length that is none", Buffer.from("A sip:a SIP/2.0\r\nContent-Length: x\r\n\r\n")],
  ])("with %s overflows", (_, bytes) => {
    const framer = new StreamFramer(1_000);
    expect(framer.push(bytes)).toEqual([]);
    expect(framer.overflow).toBe(true);
  });
});
