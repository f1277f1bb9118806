import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "#sip-agent/ports.ts";
import { Bench, type Msg, type Srf, type SrfDialog } from "./support/bench.ts";

const run = process.env["PONTE_ASTERISK"];
const required = process.env["PONTE_REQUIRE_PEERS"] === "1";

async function freePort(): Promise<number> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  await new Promise<void>((done) => socket.close(() => done()));
  return port;
}

/** An offer that Asterisk can answer; nothing listens on its media port. */
const OFFER = [
  "v=0",
  "o=- 1 1 IN IP4 127.0.0.1",
  "s=-",
  "c=IN IP4 127.0.0.1",
  "t=0 0",
  "m=audio 40000 RTP/AVP 0 101",
  "a=rtpmap:0 PCMU/8000",
  "a=rtpmap:101 telephone-event/8000",
  "a=sendrecv",
  "",
].join("\r\n");

test.runIf(run === undefined)("Asterisk is known (PONTE_ASTERISK names its run script)", ({ skip }) => {
  if (!required) skip("PONTE_ASTERISK is not set");
  expect(run).toBeDefined();
});

describe.runIf(run !== undefined).concurrent("against Asterisk", () => {
  let bench: Bench;
  let srf: Srf;
  let asterisk: ChildProcess;
  let pbx: string;

  beforeAll(async () => {
    bench = await Bench.start({ clock: systemClock });
    srf = await bench.app();
    const port = await freePort();
    pbx = `127.0.0.1:${port}`;
    const args = ["--sip", pbx, "--ponte", `127.0.0.1:${bench.udp}`, "--rtp", "27000-27099"];
    asterisk = spawn(run ?? "", args, { stdio: ["ignore", "pipe", "ignore"] });
    await new Promise<void>((ready, fail) => {
      asterisk.stdout?.on("data", (chunk: Buffer) => {
        if (chunk.includes("READY")) ready();
      });
      asterisk.once("exit", () => fail(new Error("Asterisk did not start")));
    });
  }, 60_000);

  afterAll(async () => {
    const gone = once(asterisk, "exit");
    asterisk.kill("SIGTERM");
    await gone;
    const { dialogs, pending } = bench.agent.counters();
    await bench.stop();
    expect({ dialogs, pending }).toEqual({ dialogs: 0, pending: 0 });
  }, 30_000);

  type Placed = { readonly dialog: Promise<SrfDialog>; readonly request: Promise<Msg>; readonly provisional: number[] };

  function place(number: string, transport = "udp"): Placed {
    const provisional: number[] = [];
    let sent: (request: Msg) => void;
    const request = new Promise<Msg>((done) => {
      sent = done;
    });
    const dialog = srf.createUAC(
      `sip:${number}@${pbx};transport=${transport}`,
      { localSdp: OFFER, callingNumber: "4917012345" },
      { cbRequest: (_, req) => sent(req), cbProvisional: (res) => void provisional.push(res.status) },
    );
    dialog.catch(() => undefined);
    return { dialog, request, provisional };
  }

  test.each(["udp", "tcp"])("600 answers over %s, and we hang up", async (transport) => {
    const dialog = await place("600", transport).dialog;
    expect(dialog.remote.sdp).toContain("PCMU");
    const bye = await dialog.destroy();
    expect(bye.method).toBe("BYE");
  });

  test("640 is busy", async () => {
    await expect(place("640").dialog).rejects.toMatchObject({ status: 486 });
  });

  test("641 rings until we cancel", async () => {
    const call = place("641");
    const request = await call.request;
    await bench.settle(() => call.provisional.includes(180));
    request.cancel({}, () => undefined);
    await expect(call.dialog).rejects.toMatchObject({ status: 487 });
  });

  test("645 gives early media, then busy", async () => {
    const call = place("645");
    await expect(call.dialog).rejects.toMatchObject({ status: 486 });
    expect(call.provisional).toContain(183);
  });

  test("652 hangs up after three seconds", async () => {
    const dialog = await place("652").dialog;
    await new Promise((ended) => dialog.on("destroy", ended));
  });

  test("620 puts us on hold with a re-INVITE and takes the call back", async () => {
    const dialog = await place("620").dialog;
    const offers: string[] = [];
    await new Promise<void>((done) => {
      dialog.on("modify", (request: Msg, reply: { send(status: number, options: object): void }) => {
        offers.push(/a=(sendonly|inactive|recvonly)/.exec(request.body)?.[1] ?? "sendrecv");
        const direction = offers.at(-1) === "sendonly" ? "recvonly" : "sendrecv";
        reply.send(200, { body: OFFER.replace("a=sendrecv", `a=${direction}`) });
        if (offers.length === 2) done();
      });
    });
    expect(offers).toEqual(["sendonly", "sendrecv"]);
    await dialog.destroy();
  });
});
