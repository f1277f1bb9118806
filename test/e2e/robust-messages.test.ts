import { describe, expect, test } from "vitest";
import type { Row } from "#test/support/message-outside.ts";
import { eventually } from "#test/support/world.ts";
import { databaseAway, gatewayAway, inWorld } from "./robust-messages-away.ts";

describe.concurrent("somebody is away for a while, and everything arrives when they are back, in its order", () => {
  gatewayAway(0);
  databaseAway(0);

  test("a webhook's target; what was given up is delivered when it is asked for", () =>
    inWorld(async (outside, url) => {
      const [ana, bia] = ["5511970000001", "5511970000002"];
      const { hook, gateway } = outside;
      for (const number of [ana, bia]) gateway.phone(number);
      await outside.startDaemon({ url });
      const { endpointId } = await outside.onboard();
      const told = (customer: string) =>
        hook.documents().flatMap((each) => {
          const payload = each["payload"] as Row;
          return payload["customer"] === customer ? [payload["text"]] : [];
        });
      hook.answers.push(503);
      await outside.order({ customer: ana, text: "a0" });
      await eventually("the refusal", async () => (hook.requests.length > 0 ? true : undefined));
      for (const text of ["a1", "a2"]) await outside.order({ customer: ana, text });
      for (const text of ["b0", "b1"]) await outside.order({ customer: bia, text });
      await outside.settled();
      // What waits holds up its own conversation, and no other.
      expect(told(ana)).toEqual(["a0", "a0", "a1", "a2"]);
      expect(told(bia)).toEqual(["b0", "b1"]);
      expect(hook.documents().findLastIndex((each) => (each["payload"] as Row)["text"] === "a0")).toBeGreaterThan(1);
      expect(new Set(hook.documents().map(({ id }) => id)).size).toBe(5);

      hook.answers.push(410);
      await outside.order({ customer: bia, text: "b2" });
      await outside.settled();
      await outside.order({ customer: bia, text: "b3" });
      const settled = await outside.settled();
      expect(settled.flatMap(({ external_id: id, status }) => (status === "dead" ? [id] : []))).toEqual(["b2"]);
      const [dead, ...others] = await outside.all(`/v1/deliveries?state=dead&endpoint_id=${endpointId}`, "deliveries");
      expect(others).toEqual([]);
      expect(await outside.api("POST", `/v1/deliveries/${dead?.["id"]}/replay`)).toEqual({ replayed: 1 });
      await eventually("the delivery", async () => (told(bia).length === 5 ? true : { missing: told(bia) }));
      expect(told(bia)).toEqual(["b0", "b1", "b2", "b3", "b2"]);
      const after = await outside.settled();
      expect(after.filter(({ status }) => status === "dead")).toEqual([]);
      expect(outside.sentTo(bia)).toEqual(["b0", "b1", "b2", "b3"]);
    }));

  test("a customer's phone: the message that was given up is sent by a replay, and nothing else again", () =>
    inWorld(async (outside, url) => {
      const number = "5511970000009";
      await outside.startDaemon({ url });
      await outside.onboard();
      await outside.order({ customer: number, text: "early" });
      const [dead] = (await outside.settled()).filter(({ status }) => status === "dead");
      expect(dead).toMatchObject({ external_id: "early", type: "order.paid" });
      outside.gateway.phone(number);
      expect(await outside.api("POST", `/v1/event-log/${dead?.["event_id"]}/replay`, {})).toEqual({ replayed: 1 });
      await eventually("the message", async () => (outside.sentTo(number).length > 0 ? true : undefined));
      expect((await outside.settled()).filter(({ status }) => status === "dead")).toEqual([]);
      expect(outside.sentTo(number)).toEqual(["early"]);
      expect(outside.hook.requests.length).toBe(1);
      // Again: there is nothing left to do.
      expect(await outside.api("POST", `/v1/event-log/${dead?.["event_id"]}/replay`, {})).toEqual({ replayed: 1 });
      await outside.settled();
      expect(outside.sentTo(number)).toEqual(["early"]);
      expect(outside.hook.requests.length).toBe(1);
    }));
});
