import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "#sip-agent/ports.ts";
import { Asterisk } from "#test/support/asterisk.ts";
import { absent } from "#test/support/peers.ts";
import { Bench, type Msg, type Srf, type SrfDialog } from "./support/bench.ts";

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

describe.skipIf(absent("asterisk")).concurrent("against Asterisk (skipped without PONTE_ASTERISK)", () => {
  let bench: Bench;
  let srf: Srf;
  let asterisk: Asterisk;
  let pbx: string;

  beforeAll(async () => {
    bench = await Bench.start({ clock: systemClock });
    srf = await bench.app();
    asterisk = await Asterisk.start({ pontePort: bench.udp, codecs: "ulaw,alaw" });
    pbx = `${asterisk.host}:${asterisk.port}`;
  }, 60_000);

  afterAll(async () => {
    await asterisk.stop();
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
