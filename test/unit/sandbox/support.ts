import { Faults } from "#sandbox/faults.ts";
import type { HttpReply } from "#sandbox/http-reply.ts";
import { CallWebhooks } from "#sandbox/meta/call-webhooks.ts";
import { type CallEnd, Calls, type PlacedCall, type UserPhone } from "#sandbox/meta/calls.ts";
import type { Fault } from "#sandbox/meta/faults.ts";
import { Graph } from "#sandbox/meta/graph.ts";
import { MetaLog } from "#sandbox/meta/log.ts";
import { Messages } from "#sandbox/meta/messages.ts";
import { defaultModes, type Modes } from "#sandbox/meta/modes.ts";
import type { BusinessNumber, CallingSettings, WhatsAppUser } from "#sandbox/meta/numbers.ts";
import type { Action } from "#sandbox/meta/rule.ts";
import type { Delivery } from "#sandbox/meta/webhook-sender.ts";
import { seededRandom } from "#sandbox/random.ts";
import type { RelayCall, RelayEvents, RelayPort } from "#sandbox/relay/ports.ts";
import { FakeClock } from "#test/support/fake-clock.ts";

/** A relay that writes down what it is told. */
export class FakeRelay implements RelayPort {
  readonly told: string[] = [];
  readonly events: RelayEvents[] = [];

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  open(_modes: Modes, events: RelayEvents): RelayCall {
    this.events.push(events);
    const id = this.events.length;
    return {
      offer: `v=0\r\no=- ${id} 2 IN IP4 127.0.0.1\r\n`,
      answer: (_answer, connects) => void this.told.push(connects ? "answer" : "answer that never connects"),
      accept: () => void this.told.push("accept"),
      sendRtp: () => void this.told.push("rtp"),
      statistics: () => ({ fromBusiness: 0, toBusiness: 0, heldBack: 0, lost: 0, digits: "" }),
      close: () => void this.told.push("close"),
    };
  }
}

export const number: BusinessNumber = {
  phoneNumberId: "436666719526789",
  displayPhoneNumber: "15551440000",
  wabaId: "366634483210360",
};

export const otherNumber: BusinessNumber = {
  phoneNumberId: "436666719526790",
  displayPhoneNumber: "15551440001",
  wabaId: "366634483210360",
};

export const ana: WhatsAppUser = {
  number: "5511987654321",
  profileName: "Ana",
  username: "ana.s",
  userId: "BR.13491208655302741918",
};

/** An answer that the real Meta takes. */
export const goodAnswer = [
  "v=0",
  "o=- 2822644248144643933 2 IN IP4 127.0.0.1",
  "s=-",
  "t=0 0",
  "a=group:BUNDLE audio",
  "a=msid-semantic: WMS ponte",
  "m=audio 51420 UDP/TLS/RTP/SAVPF 111 126",
  "c=IN IP4 203.0.113.10",
  "a=rtcp:9 IN IP4 0.0.0.0",
  "a=candidate:1 1 udp 2130706431 203.0.113.10 51420 typ host",
  "a=end-of-candidates",
  "a=ice-ufrag:X1ho",
  "a=ice-pwd:7fJSbV2N5qWiA5QiDKwK3vuh",
  "a=fingerprint:sha-256 2E:35:9F:21:9E:63:72:E5:42:74:76:2D:B3:70:F7:CB:24:14:9B:14:52:71:05:48:DA:4D:67:31:09:58:2A:ED",
  "a=setup:active",
  "a=mid:audio",
  "a=sendrecv",
  "a=msid:ponte ponte-audio",
  "a=rtcp-mux",
  "a=rtpmap:111 opus/48000/2",
  "a=rtcp-fb:111 transport-cc",
  "a=fmtp:111 maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1",
  "a=rtpmap:126 telephone-event/8000",
  "a=ptime:20",
  "a=maxptime:20",
  "a=ssrc:330833028 cname:ponte",
  "",
].join("\r\n");

/** A simulated Meta without sockets: requests go in by hand, webhooks come out in a list. */
export class Bench {
  readonly clock = new FakeClock();
  readonly relay = new FakeRelay();
  readonly log = new MetaLog(() => this.clock.now());
  readonly faults = new Faults<Action, Fault>(seededRandom(7));
  readonly deliveries: Delivery[] = [];
  readonly settings = new Map<string, CallingSettings>([
    [number.phoneNumberId, { status: "ENABLED", sip: "DISABLED" }],
    [otherNumber.phoneNumberId, { status: "ENABLED", sip: "DISABLED" }],
  ]);
  modes: Modes = defaultModes;
  readonly webhooks = new CallWebhooks(this.clock, (delivery) => {
    this.deliveries.push(delivery);
    return Promise.resolve(true);
  });
  readonly calls = new Calls({
    clock: this.clock,
    random: seededRandom(3),
    log: this.log,
    relay: this.relay,
    webhooks: this.webhooks,
    ringMs: { min: 30_000, max: 60_000 },
  });
  readonly messages = new Messages({
    clock: this.clock,
    random: seededRandom(9),
    numbers: new Map([number, otherNumber].map((one) => [one.phoneNumberId, one])),
    deliver: (delivery) => {
      this.deliveries.push(delivery);
      return Promise.resolve(true);
    },
  });
  readonly #graph = new Graph({
    random: seededRandom(5),
    log: this.log,
    calls: this.calls,
    messages: this.messages,
    faults: this.faults,
    numbers: new Map([number, otherNumber].map((one) => [one.phoneNumberId, one])),
    settings: this.settings,
    tokens: new Set(["token"]),
    modes: () => this.modes,
  });

  place(more: { readonly user?: WhatsAppUser; readonly to?: BusinessNumber; readonly modes?: Partial<Modes> } = {}): {
    readonly call: PlacedCall;
    readonly seen: string[];
    readonly ends: CallEnd[];
  } {
    const seen: string[] = [];
    const ends: CallEnd[] = [];
    const phone: UserPhone = {
      onRinging: () => void seen.push("ringing"),
      onPickedUp: () => void seen.push("picked up"),
      onEnded: (end) => {
        ends.push(end);
        seen.push(`ended: ${end.reason} by ${end.by}`);
      },
      onRtp: () => void seen.push("rtp"),
    };
    const to = more.to ?? number;
    const request = { user: more.user ?? ana, phoneNumberId: to.phoneNumberId, ctaPayload: "button/1" };
    return { call: this.calls.place(request, to, { ...this.modes, ...more.modes }, phone), seen, ends };
  }

  /** The answer to a request, with `onSent` done. */
  post(
    body: unknown,
    more: { readonly token?: string; readonly version?: string; readonly id?: string } = {},
  ): { readonly status: number; readonly body: Record<string, unknown>; readonly reply: HttpReply } {
    return this.#post("calls", body, more);
  }

  postMessage(body: unknown, more: Parameters<Bench["post"]>[1] = {}): ReturnType<Bench["post"]> {
    return this.#post("messages", body, more);
  }

  #post(
    edge: "calls" | "messages",
    body: unknown,
    more: NonNullable<Parameters<Bench["post"]>[1]>,
  ): ReturnType<Bench["post"]> {
    const version = more.version ?? "v23.0";
    const phoneNumberId = more.id ?? number.phoneNumberId;
    const request = {
      method: "POST",
      path: `/${version}/${phoneNumberId}/${edge}`,
      version,
      phoneNumberId,
      authorization: more.token ?? "Bearer token",
      body: typeof body === "string" ? body : JSON.stringify(body),
    };
    const reply = edge === "calls" ? this.#graph.postCalls(request) : this.#graph.postMessages(request);
    if (reply.kind !== "answer") return { status: 0, body: {}, reply };
    reply.onSent?.();
    return { status: reply.status, body: reply.body as Record<string, unknown>, reply };
  }

  act(action: string, wacid: string, more: object = {}): ReturnType<Bench["post"]> {
    return this.post({ messaging_product: "whatsapp", call_id: wacid, action, ...more });
  }

  answering(
    action: "pre_accept" | "accept",
    wacid: string,
    sdp = goodAnswer,
    more: object = {},
  ): ReturnType<Bench["post"]> {
    return this.act(action, wacid, { session: { sdp_type: "answer", sdp }, ...more });
  }

  /** `changes[].value.calls[]` of all webhooks of this event. */
  events(event: string): Record<string, unknown>[] {
    return this.deliveries.filter((delivery) => delivery.event === event).flatMap((delivery) => callsOf(delivery.body));
  }
}

interface Envelope {
  readonly entry: readonly {
    readonly changes: readonly { readonly value: { readonly calls?: Record<string, unknown>[] } }[];
  }[];
}

export function callsOf(body: object): Record<string, unknown>[] {
  return (body as Envelope).entry.flatMap((entry) => entry.changes.flatMap((change) => change.value.calls ?? []));
}
