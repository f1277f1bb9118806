import { expect, test } from "vitest";
import { fitsType } from "#router/rules/type-matcher.ts";

test.each(["**", "whatsapp.**", "bill*", "(", ""])(
  "%j is no pattern: it fits nothing, and spoils nothing",
  (pattern) => {
    expect(fitsType(pattern, "whatsapp.inbound.message")).toBe(false);
    expect(fitsType("whatsapp.*", "whatsapp.inbound.message")).toBe(true);
  },
);
