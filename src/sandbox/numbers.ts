import type { BusinessNumber } from "./meta/numbers.ts";
import type { DemoNumber } from "./phone/protocol.ts";

/** The sandbox's WhatsApp Business Account. */
export const DEMO_WABA_ID = "366634483210360";

/** Demo PBX extensions with a business number each: `+1 555 0100 600` leads to 600, and so on. */
export const demoNumbers: readonly DemoNumber[] = [
  demo("600", "Echo", "You hear yourself. The simplest proof that both directions work."),
  demo("601", "Test tone", "1004 Hz without end, as telephone people use it."),
  demo("610", "Digits", "Press keys: what arrives is read back to you."),
  demo("611", "Digits from the PBX", "The PBX presses keys; they show on your screen."),
  demo(
    "620",
    "Hold and back",
    "The PBX puts you on hold for 3 seconds, takes you back, and echoes. WhatsApp notices nothing.",
  ),
  demo("640", "Busy", "The PBX says 486; your call is declined."),
  demo("641", "Nobody answers", "It rings and rings. Hang up, or wait for the end."),
  demo("642", "Out of service", "The PBX says 503."),
  demo("643", "Unknown extension", "The PBX says 404."),
  demo("645", "Busy, with a tone first", "Early media of the PBX, which WhatsApp cannot carry, and then 486."),
  demo("650", "Slow answer", "Rings for 3 seconds, then echo."),
  demo("652", "Hangs up on you", "A tone, and after 3 seconds the PBX hangs up."),
];

function demo(extension: string, name: string, explanation: string): DemoNumber {
  return { id: `43666671952${extension}`, display: `15550100${extension}`, name, explanation, extension };
}

/** The same numbers as the simulated Meta knows them. */
export function businessNumbers(numbers: readonly DemoNumber[]): BusinessNumber[] {
  return numbers.map(({ id, display }) => ({ phoneNumberId: id, displayPhoneNumber: display, wabaId: DEMO_WABA_ID }));
}
