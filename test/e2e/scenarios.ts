import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { UserCall } from "#sandbox/phone/user-call.ts";
import { expectEcho, expectTone } from "#test/support/audio.ts";
import type { WireMessage } from "#test/support/sip-wire.ts";
import { eventually, type Story, type TestPbx, TestWorld } from "#test/support/world.ts";

/**
 * The dialogue as an outsider would retell it: `ponte INVITE`, `pbx 486`, `ponte ACK`. Retransmissions and 100 are left out,
 * and so is a second 18x with nothing new in it.
 */
export function dialogue(sip: readonly WireMessage[]): string[] {
  const seen = new Set<string>();
  return sip.flatMap((message) => {
    if (message.what === "100" || seen.has(message.text)) return [];
    seen.add(message.text);
    return [
      `${message.from} ${message.what}${/^\d/.test(message.what) && message.method !== "INVITE" ? ` ${message.method}` : ""}`,
    ];
  });
}

/** The first message of that kind. */
export function message({ sip }: Pick<Story, "sip">, from: WireMessage["from"], what: string): WireMessage {
  const found = sip.find((each) => each.from === from && each.what === what);
  if (found === undefined) throw new Error(`${from} sent no ${what}: ${dialogue(sip).join(", ")}`);
  return found;
}

export function types({ events }: Story): string[] {
  return events.map((event) => event.type);
}

/** Meta saw one answer, twice, byte for byte: nothing of what the PBX renegotiates reaches it. */
export function expectNoRenegotiation({ graph, answers }: Story): void {
  expect(graph).toEqual(["pre_accept 200", "accept 200"]);
  expect(answers).toHaveLength(2);
  expect(answers[1]).toBe(answers[0]);
}

const refusals = [
  { target: "640", says: "busy", status: 486, row: { result: "busy", cause: "pbx_busy", q850_cause: 17 } },
  {
    target: "642",
    says: "out of service",
    status: 503,
    row: { result: "unreachable", cause: "pbx_unavailable", q850_cause: 34 },
  },
  { target: "643", says: "unknown", status: 404, row: { result: "not_found", cause: "pbx_not_found", q850_cause: 1 } },
  { target: "644", says: "forbidden", status: 403, row: { result: "declined", cause: "pbx_refused", q850_cause: 21 } },
] as const;

const codecChanges = [
  { target: "621", method: "INVITE", codec: "PCMU" },
  { target: "622", method: "INVITE", codec: "PCMA" },
  { target: "623", method: "UPDATE", codec: "PCMU" },
] as const;

const targets = [
  "610",
  "611",
  "620",
  "621",
  "622",
  "623",
  "640",
  "641",
  "642",
  "643",
  "644",
  "645",
  "650",
  "651",
  "652",
];

/** Every way in which a PBX takes, refuses, changes and ends a call. Each call is a world apart from the others, so they run side by side. */
export function scenarios(pbxOf: () => Promise<TestPbx | undefined>, digitsRead?: () => readonly string[]): void {
  let world: TestWorld;

  beforeAll(async () => {
    const pbx = await pbxOf();
    const numbers = Object.fromEntries(targets.map((target) => [target, { target, trunk: "g711" as const }]));
    world = await TestWorld.start({ numbers, ...(pbx === undefined ? {} : { pbx }) });
  });

  afterAll(async () => {
    await world?.stop();
    world?.expectRulesKept();
  });

  async function answered(name: string): Promise<UserCall> {
    const call = await world.call(name);
    expect(await call.answered, `${name} answers`).toBe(true);
    return call;
  }

  describe.concurrent("calls to a PBX", () => {
    test.each(refusals)("$target, $says: the PBX's $status ends the call at Meta", async ({ target, status, row }) => {
      const call = await world.call(target);
      expect(await call.ended).toMatchObject({ reason: "rejected", by: "business" });
      const story = await world.story(call.wacid);
      expect(story.row, String(story.row["detail"])).toMatchObject({
        ...row,
        state: "ended",
        ended_by: "pbx",
        sip_status: status,
      });
      expect(story.graph).toEqual(["pre_accept 200", "terminate 200"]);
      expect(story.webhooks).toEqual(["connect 200", "terminate 200"]);
      expect(dialogue(story.sip)).toEqual(["ponte INVITE", `pbx ${status}`, "ponte ACK"]);
      expect(story.phone).not.toContain("picked_up");
      expect(types(story)).toEqual(
        expect.arrayContaining(["call.received", "call.pre_accepted", "leg_failed", "meta_terminate"]),
      );
    });

    test("641: the caller gives up while it rings, and the PBX is told by CANCEL", async () => {
      const call = await world.call("641");
      await call.ringing;
      await eventually(
        "the PBX's 180",
        async () => world.sip(call.wacid).some(({ what }) => what === "180") || undefined,
      );
      call.hangUp();
      const story = await world.story(call.wacid);
      expect(story.row).toMatchObject({
        result: "cancelled",
        ended_by: "caller",
        cause: "caller_gave_up",
        q850_cause: 16,
      });
      expect(story.graph).toEqual(["pre_accept 200"]);
      expect(story.webhooks).toEqual(["connect 200", "terminate 200"]);
      expect(dialogue(story.sip).slice(-4).sort()).toEqual(["pbx 200 CANCEL", "pbx 487", "ponte ACK", "ponte CANCEL"]);
      expect(message(story, "ponte", "CANCEL").header("Reason")).toMatch(/^Q\.850;cause=16/);
      expect(story.phone).not.toContain("picked_up");
    });

    test("641: an operator ends the call while it rings", async () => {
      const call = await world.call("641");
      await eventually(
        "the PBX's 180",
        async () => world.sip(call.wacid).some(({ what }) => what === "180") || undefined,
      );
      const id = await world.idOf(call.wacid);
      expect(await world.api(`/v1/calls/${id}/terminate`, "POST")).toMatchObject({ status: 202 });
      expect(await call.ended).toMatchObject({ reason: "rejected", by: "business" });
      const story = await world.story(call.wacid);
      expect(story.row).toMatchObject({ result: "cancelled", ended_by: "operator", cause: "operator" });
      expect(story.graph).toEqual(["pre_accept 200", "terminate 200"]);
      expect(dialogue(story.sip)).toContain("ponte CANCEL");
    });

    test("645: early media is not passed on, and the busy that follows ends the call", async () => {
      const call = await world.call("645");
      expect(await call.ended).toMatchObject({ reason: "rejected", by: "business" });
      const story = await world.story(call.wacid);
      expect(story.row).toMatchObject({ result: "busy", ended_by: "pbx", cause: "pbx_busy", sip_status: 486 });
      expect(dialogue(story.sip)).toEqual(["ponte INVITE", "pbx 183", "pbx 486", "ponte ACK"]);
      expect(story.events.find(({ type }) => type === "leg_progress")?.data).toMatchObject({
        status: 183,
        early: true,
      });
      expect(story.phone).not.toContain("first_rtp");
      expect(story.graph).toEqual(["pre_accept 200", "terminate 200"]);
    });

    test.each([
      { target: "650", provisional: "180" },
      { target: "651", provisional: "183" },
    ])("$target: rings, answers after 3 s, is heard, and the caller hangs up", async ({ target, provisional }) => {
      const call = await answered(target);
      await expectEcho(call, 500);
      call.hangUp();
      const story = await world.story(call.wacid);
      expect(story.row).toMatchObject({
        result: "completed",
        ended_by: "caller",
        cause: "hangup",
        meta_status: "COMPLETED",
      });
      expectNoRenegotiation(story);
      expect(story.webhooks).toEqual(["connect 200", "terminate 200"]);
      expect(dialogue(story.sip)).toEqual([
        "ponte INVITE",
        `pbx ${provisional}`,
        "pbx 200",
        "ponte ACK",
        "ponte BYE",
        "pbx 200 BYE",
      ]);
      expect(message(story, "ponte", "BYE").header("Reason")).toMatch(/^Q\.850;cause=16/);
      // The user's timer starts with our first packet, and that is after the PBX's answer.
      expect(Number((story.row["timings"] as Record<string, number>)["pbx_answered_ms"])).toBeGreaterThan(2_900);
    });

    test("652: the PBX plays a tone and hangs up, and Meta is told by terminate", async () => {
      const call = await answered("652");
      await expectTone(call, 440, { ms: 500 });
      expect(await call.ended).toMatchObject({ reason: "hung_up", by: "business" });
      const story = await world.story(call.wacid);
      expect(story.row).toMatchObject({ result: "completed", ended_by: "pbx", cause: "hangup", q850_cause: 16 });
      expect(story.graph).toEqual(["pre_accept 200", "accept 200", "terminate 200"]);
      expect(dialogue(story.sip)).toEqual(["ponte INVITE", "pbx 200", "ponte ACK", "pbx BYE", "ponte 200 BYE"]);
      expect(types(story)).toContain("call.terminated");
    });

    test("an operator ends a call that talks: BYE to the PBX, terminate to Meta", async () => {
      const call = await answered("650");
      const id = await world.idOf(call.wacid);
      expect((await world.api(`/v1/calls/${id}`)).body).toMatchObject({ live: true, call: { state: "bridged" } });
      expect(await world.api(`/v1/calls/${id}/terminate`, "POST")).toMatchObject({ status: 202 });
      expect(await call.ended).toMatchObject({ reason: "hung_up", by: "business" });
      const story = await world.story(call.wacid);
      expect(story.row).toMatchObject({ result: "completed", ended_by: "operator", cause: "operator" });
      expect(story.graph).toEqual(["pre_accept 200", "accept 200", "terminate 200"]);
      expect(message(story, "ponte", "BYE").header("Reason")).toMatch(/^Q\.850;cause=16/);
      expect(await world.api(`/v1/calls/${id}/terminate`, "POST")).toMatchObject({ status: 409 });
    });

    test("a caller without a number is shown by user id, and is heard", async () => {
      const call = await world.call("650", {
        user: { hidesNumber: true, userId: "BR.2222233333444445" },
        modes: { caller: "bsuid_only" },
      });
      expect(await call.answered).toBe(true);
      await expectEcho(call, 700);
      call.hangUp();
      const story = await world.story(call.wacid);
      expect(story.row).toMatchObject({ result: "completed", from_user_id: "BR.2222233333444445" });
      expect(story.row["from_number"] ?? null).toBeNull();
      const invite = message(story, "ponte", "INVITE");
      expect(invite.header("X-WhatsApp-User")).toBe("BR.2222233333444445");
      expect(invite.header("From")).toMatch(/sip:anonymous@/);
      expect(invite.header("P-Asserted-Identity")).toBe("");
    });

    test("610: keys that the caller presses arrive once each and in order", async () => {
      const call = await answered("610");
      await call.listen(300);
      await call.sendDigits("4071");
      expect(await call.ended).toMatchObject({ reason: "hung_up", by: "business" });
      const story = await world.story(call.wacid);
      // The demo PBX presses what it read; Asterisk says it aloud, and tells its manager.
      if (digitsRead === undefined) expect(await call.statistics()).toMatchObject({ digitsHeard: "4071" });
      else expect(digitsRead()).toEqual(["4071"]);
      expect(story.row).toMatchObject({ result: "completed", ended_by: "pbx", media_stats: { a: { digits_in: 4 } } });
      expect(story.events.filter(({ type, data }) => type === "digit" && data["side"] === "a")).toHaveLength(4);
    });

    test("611: every key that the PBX presses arrives once, as a telephone-event", async () => {
      const call = await answered("611");
      expect(await call.ended).toMatchObject({ reason: "hung_up", by: "business" });
      expect(await call.statistics()).toMatchObject({ digitsHeard: "0123456789*#ABCD" });
      const story = await world.story(call.wacid);
      expect(story.row).toMatchObject({ result: "completed", ended_by: "pbx", media_stats: { b: { digits_in: 16 } } });
      // The timeline says that keys were pressed, never which.
      const digits = story.events.filter(({ type }) => type === "digit");
      expect(digits).toHaveLength(16);
      expect(digits.every(({ data }) => data["side"] === "b" && !("digit" in data))).toBe(true);
    });

    test("620: hold and back is answered by ponte, and WhatsApp notices nothing", async () => {
      const call = await answered("620");
      await expectTone(call, 440, { ms: 600 });
      await eventually(
        "the end of the hold",
        async () => changes(await record(call.wacid)).length >= 2 || undefined,
        12_000,
      );
      await expectEcho(call, 600);
      call.hangUp();
      const story = await world.story(call.wacid);
      expectNoRenegotiation(story);
      expect(changes(story).slice(0, 2)).toEqual(["sendonly", "sendrecv"]);
      const offers = story.sip.filter(({ from, what }) => from === "pbx" && what === "INVITE");
      expect(offers[0]?.body).toMatch(/a=sendonly/);
      const answers = story.sip.filter(
        ({ from, what, method, body }) => from === "ponte" && what === "200" && method === "INVITE" && body !== "",
      );
      expect(answers[0]?.body).toMatch(/a=recvonly/);
      expect(story.row).toMatchObject({ result: "completed", ended_by: "caller" });
    });

    test.each(codecChanges)(
      "$target: the PBX changes to $codec by $method, and the caller is heard",
      async ({ target, method, codec }) => {
        const call = await answered(target);
        await eventually(
          "the new session",
          async () => changes(await record(call.wacid)).length > 0 || undefined,
          12_000,
        );
        await expectEcho(call, 800);
        call.hangUp();
        const story = await world.story(call.wacid);
        expectNoRenegotiation(story);
        const offer = story.sip.filter(({ from, what }) => from === "pbx" && what === method)[0];
        expect(offer?.body).toMatch(codec === "PCMU" ? /m=audio \d+ RTP\/AVP 0\b/ : /m=audio \d+ RTP\/AVP 8\b/);
        expect(story.row).toMatchObject({ result: "completed", ended_by: "caller", media_stats: { b: { codec } } });
      },
    );
  });

  async function record(wacid: string): Promise<Pick<Story, "events">> {
    const { body } = await world.api(`/v1/calls/${await world.idOf(wacid)}`);
    return body as unknown as Story;
  }
}

/** Directions of the sessions that the PBX changed to. */
function changes({ events }: Pick<Story, "events">): unknown[] {
  return events.filter(({ type }) => type === "session_changed").map(({ data }) => data["direction"]);
}
