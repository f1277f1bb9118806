import { expect, test } from "vitest";
import { readWhatsAppOffer } from "#core/sdp/whatsapp-offer.ts";
import type { FromWorker } from "#media/plane/messages.ts";
import { MediaWorker } from "#media/worker/media-worker.ts";
import { sdpFixture } from "#test/support/fixtures/sdp/read.ts";

test("a call that is closed while it is being opened leaves nothing behind", async () => {
  const told: FromWorker[] = [];
  const worker = new MediaWorker(
    {
      publicPort: 0,
      sparePorts: [],
      bind4: "127.0.0.1",
      sipBind: "127.0.0.1",
      latching: "auto",
      deadAfterMs: 30_000,
    },
    (message) => void told.push(message),
  );
  await worker.start();
  const offer = readWhatsAppOffer(sdpFixture("meta-2025"));
  if (!offer.ok) throw new Error("the fixture is no offer");
  worker.take({ type: "open", call: 1, sipPort: 0, sipAddress: "127.0.0.1", offer: offer.value });
  worker.take({ type: "close", call: 1 });
  await expect.poll(() => told.map(({ type }) => type)).toEqual(["ready", "opened", "closed"]);
  worker.take({ type: "stop" });
  await expect.poll(() => told.at(-1)?.type).toBe("stopped");
});
