import { beforeEach, expect, test } from "vitest";
import { metaJson } from "#sandbox/meta/payload.ts";
import { ana, Bench, callsOf, number, otherNumber } from "./support.ts";

let bench: Bench;

beforeEach(() => {
  bench = new Bench();
});

interface Body {
  readonly object: string;
  readonly entry: readonly {
    readonly id: string;
    readonly changes: readonly { readonly field: string; readonly value: Record<string, unknown> }[];
  }[];
}

const body = (index: number): Body => bench.deliveries.at(index)?.body as Body;
const names = (): string[] => bench.deliveries.map((delivery) => delivery.event);
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("W4: the envelope says whose account, which field and which number", () => {
  bench.place();
  expect(body(0)).toMatchObject({
    object: "whatsapp_business_account",
    entry: [
      {
        id: number.wabaId,
        changes: [
          {
            field: "calls",
            value: {
              messaging_product: "whatsapp",
              metadata: { display_phone_number: "15551440000", phone_number_id: "436666719526789" },
              contacts: [{ profile: { name: "Ana", username: "ana.s" }, wa_id: ana.number, user_id: ana.userId }],
            },
          },
        ],
      },
    ],
  });
});

test("W3: slashes and everything outside of ASCII are escaped, and it is still the same JSON", () => {
  const value = { name: "São João 👋", path: "a/b", quote: '"\\' };
  const text = metaJson(value);
  expect(text).toBe(String.raw`{"name":"S\u00e3o Jo\u00e3o \ud83d\udc4b","path":"a\/b","quote":"\"\\"}`);
  expect(JSON.parse(text)).toEqual(value);
  expect(JSON.stringify(JSON.parse(text))).not.toBe(text);
});

test.each([
  ["array", ["COMPLETED"]],
  ["mixed_case", "Completed"],
  ["string", "COMPLETED"],
] as const)("W4: status as %s", (status, written) => {
  bench.place({ modes: { status } }).call.hangUp();
  expect(bench.events("terminate")[0]?.["status"]).toEqual(written);
});

test("W6: every event more than once, with the same body", () => {
  bench.place({ modes: { duplicates: 2 } }).call.hangUp();
  expect(names()).toEqual(["connect", "connect", "connect", "terminate", "terminate", "terminate"]);
  expect(new Set(bench.deliveries.map((delivery) => metaJson(delivery.body))).size).toBe(2);
});

test("W6: the terminate before its connect", async () => {
  const { call } = bench.place({ modes: { terminateFirst: true } });
  expect(names()).toEqual([]);
  call.hangUp();
  await settle();
  expect(names()).toEqual(["terminate", "connect"]);
});

test("W6: a stale connect has an old timestamp", () => {
  bench.place({ modes: { staleS: 90 } });
  expect(bench.events("connect")[0]?.["timestamp"]).toBe("1760681416");
});

test("W6: two calls of one number share a list", () => {
  const calls = [bench.place({ modes: { batch: "two_calls" } }), bench.place({ modes: { batch: "two_calls" } })];
  expect(names()).toEqual(["connect"]);
  expect(body(0).entry[0]?.changes).toHaveLength(1);
  expect(callsOf(body(0)).map((call) => call["id"])).toEqual(calls.map(({ call }) => call.wacid));
  expect(body(0).entry[0]?.changes[0]?.value["contacts"]).toHaveLength(2);
});

test("W6: two calls of two numbers share a body", () => {
  bench.place({ modes: { batch: "two_calls" } });
  bench.place({ modes: { batch: "two_calls" }, to: otherNumber });
  const changes = body(0).entry[0]?.changes ?? [];
  const ids = changes.map((change) => (change.value["metadata"] as Record<string, unknown>)["phone_number_id"]);
  expect(ids).toEqual([number.phoneNumberId, otherNumber.phoneNumberId]);
});

test("W6: two entries in a body", () => {
  bench.place({ modes: { batch: "two_entries" } });
  bench.place({ modes: { batch: "two_entries" } });
  expect(body(0).entry).toHaveLength(2);
});

test("W6: a batched connect that stays alone goes out after a while, and before its own terminate", () => {
  bench.place({ modes: { batch: "two_calls" } });
  bench.clock.advance(2_000);
  expect(names()).toEqual(["connect"]);
  bench.place({ modes: { batch: "two_calls" } }).call.hangUp();
  expect(names()).toEqual(["connect", "connect", "terminate"]);
});

test("W6: a message beside the call, an unknown event before it, an unknown field behind it", () => {
  bench.place({ modes: { batch: "with_message", unknownEvent: true, unknownField: true } });
  expect(names()).toEqual(["unknown", "connect"]);
  expect(callsOf(body(0))[0]?.["event"]).toBe("call_weather_report");
  expect(body(1).entry[0]?.changes.map((change) => change.field)).toEqual(["messages", "calls_weather", "calls"]);
});

test.each([
  ["the user hides", { user: { ...ana, hidesNumber: true } }],
  ["all users are taken for such", { modes: { caller: "bsuid_only" } as const }],
])("W11: no number where %s", (_name, request) => {
  bench.place({ ...request, modes: { batch: "with_message", ...("modes" in request ? request.modes : {}) } });
  expect(metaJson(body(0))).not.toContain(`"from":"${ana.number}"`);
  expect(metaJson(body(0))).not.toContain(`"wa_id"`);
  expect(callsOf(body(0))[0]).toMatchObject({ from_user_id: ana.userId });
});

test("W11: contacts and direction absent", () => {
  bench.place({ modes: { contacts: "absent", direction: "absent" } });
  expect(body(0).entry[0]?.changes[0]?.value).not.toHaveProperty("contacts");
  expect(callsOf(body(0))[0]).not.toHaveProperty("direction");
});

test("W2: the signature mode goes with the delivery", () => {
  bench.place({ modes: { signature: "wrong" } });
  expect(bench.deliveries[0]?.signature).toBe("wrong");
});
