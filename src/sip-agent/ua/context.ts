import type { Counters } from "#sip-agent/counters.ts";
import type { Dialog } from "#sip-agent/dialog/dialog.ts";
import type { DialogRegistry } from "#sip-agent/dialog/registry.ts";
import type { Side } from "#sip-agent/dialog/session-agreement.ts";
import type { SipRequest, SipResponse } from "#sip-agent/message/message.ts";
import type { Clock, Log, Random } from "#sip-agent/ports.ts";
import type { TransactionLayer } from "#sip-agent/transaction/layer.ts";
import type { Timers } from "#sip-agent/transaction/machine.ts";
import type { Flow } from "#sip-agent/transport/listener.ts";
import type { Resolution } from "#sip-agent/transport/resolve.ts";

/** How long the core waits for applications, in ms. */
export type Patience = {
  /** A new INVITE without any reaction of the application gets 480. */
  readonly silentInviteMs: number;
  /** Any other request without an answer gets 500; less than the 32 s after which the peer gives up by itself. */
  readonly silentRequestMs: number;
  /** An INVITE that the application lets ring gets 480. */
  readonly ringingMs: number;
  /** The dialogs of a lost application end after this. */
  readonly lostApplicationMs: number;
};

/** What all parts of the core share. */
export type Context = {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly counters: Counters;
  readonly timers: Timers;
  readonly patience: Patience;
  readonly transactions: TransactionLayer;
  readonly dialogs: DialogRegistry;
  readonly maxDialogs: number;
  /** Send in-dialog requests to where the peer's messages come from when its Contact shows that it is behind NAT. */
  readonly natCorrection: boolean;
  readonly resolve: (uri: string) => Resolution | Promise<Resolution>;
  /** True if a request on that flow would come back to us. */
  readonly isOwn: (flow: Flow) => boolean;
  /** Where a request to `target` in a dialog goes: along the route set, over the dialog's flow, or straight there. */
  readonly flowOf: (dialog: Dialog, target: string) => Resolution | Promise<Resolution>;
  /** Literals go on at once and so keep their order; names take a turn through DNS, and are dropped after `stop`. */
  readonly whenResolved: (resolution: Resolution | Promise<Resolution>, go: (resolution: Resolution) => void) => void;
  /** Ends a dialog with a BYE of our own; `text` says why, to the peer and to the application if `tell`. */
  readonly hangUp: (dialog: Dialog, text: string, tell: boolean) => void;
  /** A 2xx to INVITE or UPDATE, sent or received: what it says about session timers holds from now on (RFC 4028). */
  readonly sessionAgreed: (dialog: Dialog, sender: Side, request: SipRequest, response: SipResponse) => void;
  /** Seconds; shorter session intervals are refused (RFC 4028 §6). */
  readonly minSessionS: number;
};
