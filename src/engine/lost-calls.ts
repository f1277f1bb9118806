import type { Log, WhatsAppPort } from "./ports.ts";

/** A call whose node died: its media is gone, and Meta has not been told. */
export interface LostCall {
  readonly id: string;
  readonly wacid: string;
  readonly channelId: string;
  /** Where it stood. */
  readonly state: string;
}

export interface SweeperOptions {
  /** Ends the calls of dead nodes in the store and returns each of them once, to one caller. */
  readonly sweep: () => Promise<readonly LostCall[]>;
  readonly whatsapp: WhatsAppPort;
  readonly log: Log;
}

/** Ends the calls of nodes that died, in the store and at Meta, so that none is "active" for ever. */
export async function sweepLostCalls({ sweep, whatsapp, log }: SweeperOptions): Promise<void> {
  const lost = await sweep();
  await Promise.all(
    lost.map(async ({ id, wacid, channelId, state }) => {
      // After pre_accept Meta wants `terminate`, before it `reject`; one that is over already answers that it is gone.
      const answered = state !== "offered" && state !== "preparing";
      const outcome = await whatsapp[answered ? "terminate" : "reject"](channelId, wacid);
      const code = outcome.ok ? undefined : outcome.failure.code;
      log.warn({ call_id: id, channel_id: channelId, from: state, graph_code: code }, "call of a dead node ended");
    }),
  );
}
