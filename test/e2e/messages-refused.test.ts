import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Forgery } from "#sandbox/wpp/forgery.ts";
import { type Answer, MessageWorld, type Row } from "#test/support/messages.ts";

let it: MessageWorld;
let channel: Row;

beforeAll(async () => {
  it = await MessageWorld.start();
  channel = await it.onboard();
});

afterAll(() => it?.stop());

describe("nothing is stored of", () => {
  const deep = `{"a":${"[".repeat(20_000)}${"]".repeat(20_000)}}`;
  const message = (id: string) =>
    JSON.stringify({
      object: "whatsapp_business_account",
      entry: [
        {
          id: "1",
          changes: [
            {
              field: "messages",
              value: {
                messaging_product: "whatsapp",
                metadata: { display_phone_number: "15550100100", phone_number_id: it.world.number("support") },
                messages: [
                  { from: "5511900000009", id, timestamp: "1700000000", type: "text", text: { body: "forged" } },
                ],
              },
            },
          ],
        },
      ],
    });
  const event = (more: object = {}) => ({
    event_type: "billing.invoice.overdue",
    source_system: "billing",
    payload: { id: "forged" },
    ...more,
  });

  /** Does what must leave nothing. Resolves with the answer. */
  async function withoutTrace<T>(attack: () => Promise<T>): Promise<T> {
    await it.quiet();
    const before = await it.rows();
    const answer = await attack();
    await it.quiet();
    expect(await it.rows()).toEqual(before);
    return answer;
  }

  describe("a webhook of the gateway", () => {
    test.each<[Forgery, number, string]>([
      ["wrong_secret", 401, "unauthorised"],
      ["no_secret", 401, "unauthorised"],
      ["empty", 400, "unreadable"],
      ["not_json", 400, "unreadable"],
      ["truncated", 400, "unreadable"],
      ["too_deep", 400, "unreadable"],
      ["wrong_types", 400, "unreadable"],
    ])("that is %s: %i", async (forgery, status, counter) => {
      const count = async (): Promise<number> => {
        const { gatewayWebhooks } = await it.world.sandbox.daemon.observations();
        return Number((gatewayWebhooks as Readonly<Record<string, number>> | undefined)?.[counter] ?? 0);
      };
      const before = await count();
      expect(await withoutTrace(() => it.gateway.forge(String(channel["channel_id"]), forgery))).toBe(status);
      expect(await count()).toBe(before + 1);
    });

    test("that is larger than any: 413", async () => {
      expect(await withoutTrace(() => it.gateway.forge(String(channel["channel_id"]), "oversized"))).toBe(413);
    });

    test("for a channel of somebody else, with this channel's own secret: 401", async () => {
      const [asked] = it.gateway.log.requests("set_channel_webhook");
      const secret = String((asked?.body as Row | undefined)?.["secret"] ?? "");
      expect(secret).not.toBe("");
      const body = { event: "message", data: { id: "x", from: "5511900000009@c.us", body: "forged", type: "chat" } };
      const headers = { "x-webhook-secret": secret };
      const path = "/api/whatsapp/webhook/somebody-else";
      expect((await withoutTrace(() => it.request("POST", path, body, headers))).status).toBe(401);
    });
  });

  describe("an event", () => {
    const key = () => ({ authorization: `Bearer ${it.apiKey}` });
    const post = (body: unknown, headers: Record<string, string>) => it.request("POST", "/api/events", body, headers);
    test.each<[string, number, string, () => Promise<Answer>]>([
      ["without a secret", 401, "api_key_missing", () => post(event(), {})],
      ["with a wrong secret", 401, "api_key_wrong", () => post(event(), { "x-event-ingestion-secret": "guessed" })],
      ["that is no JSON", 400, "", () => it.tell("event=1")],
      [
        "of another content type",
        415,
        "",
        () => it.tell("event=1", { "content-type": "application/x-www-form-urlencoded" }),
      ],
      ["that is nested too deep", 400, "", () => it.tell(`{"event_type":"a.b","source_system":"x","payload":${deep}}`)],
      ["that is too large", 413, "", () => it.tell(event({ payload: { id: "x", padding: "x".repeat(2_000_000) } }))],
      ["in ponte's own name", 400, "", () => it.tell(event({ source_system: "wpp_gateway" }))],
      [
        "of another tenant",
        403,
        "wrong_tenant",
        () => post(event({ tenant_id: "0192e4a0-0000-7000-8000-00000000beef" }), key()),
      ],
      ["in a batch with a bad one", 400, "", () => it.tell([event(), event({ event_type: "NO" })])],
    ])("%s: %i", async (_what, status, code, attack) => {
      const answer = await withoutTrace(attack);
      expect(answer.status).toBe(status);
      const error = answer.body["error"] as Row;
      expect(error).toMatchObject({ code: code === "" ? expect.any(String) : code, message: expect.any(String) });
    });
  });

  describe("a webhook of Meta", () => {
    const counters = async () => {
      const { webhooks } = await it.world.sandbox.daemon.observations();
      return { wrong: webhooks?.wrongSignatures ?? 0, unreadable: webhooks?.unreadable ?? 0 };
    };
    test.each<[string, number, "wrong" | "unreadable", () => Promise<Answer>]>([
      ["signed by somebody else", 401, "wrong", () => it.meta(message("wamid.forged1"), "not the secret")],
      ["without a signature", 401, "wrong", () => it.request("POST", "/webhooks/meta", message("wamid.forged2"))],
      [
        "with a signature that is none",
        401,
        "wrong",
        () => it.request("POST", "/webhooks/meta", message("wamid.forged3"), { "x-hub-signature-256": "sha256=zz" }),
      ],
      ["that is no JSON", 400, "unreadable", () => it.meta("object=whatsapp_business_account")],
      ["that is nested too deep", 400, "unreadable", () => it.meta(deep)],
    ])("%s: %i, and counted", async (_what, status, counter, attack) => {
      const before = await counters();
      expect((await withoutTrace(attack)).status).toBe(status);
      expect(await counters()).toEqual({ ...before, [counter]: before[counter] + 1 });
    });

    test("that is too large: 413", async () => {
      const body = JSON.stringify({ object: "x".repeat(4 * 1_048_576) });
      expect((await withoutTrace(() => it.meta(body))).status).toBe(413);
    });
  });
});

describe("what is told of a channel", () => {
  test("by a body that names another one belongs to the path's", async () => {
    expect(await it.gateway.forge(String(channel["channel_id"]), "other_channel", "I am somebody else")).toBe(200);
    expect(await it.conversation("I am somebody else")).toMatchObject({ channel: channel["id"] });
    await it.quiet();
    const events = await it.list("/v1/event-log?channel_id=somebody-else", "events");
    expect(events).toEqual([]);
  });

  test("that no tenant has is kept for whoever connects it, and shown to nobody", async () => {
    const { secret = "" } = it.world.sandbox.config.wpp;
    const body = {
      event: "message",
      channel: "nobodys",
      data: {
        id: "false_5511900000009@c.us_1",
        from: "5511900000009@c.us",
        body: "for nobody",
        type: "chat",
        t: 1_700_000_000,
      },
    };
    const { status } = await it.request("POST", "/api/whatsapp/webhook", body, { "x-webhook-secret": secret });
    expect(status).toBe(200);
    await it.quiet();
    expect(await it.list("/v1/event-log?channel_id=nobodys", "events")).toEqual([]);
    const all = await it.list("/v1/conversations", "conversations");
    expect(all.filter((one) => one["channel_id"] === "nobodys")).toEqual([]);
  });

  test("is not for a tenant that does not exist", async () => {
    const tenant = "0192e4a0-0000-7000-8000-00000000beef";
    const event = { event_type: "a.b", source_system: "billing", payload: { id: "x" }, tenant_id: tenant };
    await it.quiet();
    const before = await it.rows();
    expect(await it.tell(event)).toMatchObject({
      status: 400,
      body: { error: { message: expect.stringMatching(/tenant_id/) } },
    });
    expect((await it.tell([{ ...event, tenant_id: undefined }, event])).status).toBe(400);
    expect(await it.rows()).toEqual(before);
  });
});
