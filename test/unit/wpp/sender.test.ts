import { expect, test } from "vitest";
import { plainText } from "#wpp/sender.ts";

const choices = [
  { id: "y", title: "Yes" },
  { id: "n", title: "No", description: "later" },
];

test("choices become a numbered list", () => {
  const content = {
    type: "interactive",
    header: "Visit",
    body: "Will you come?",
    footer: "Clinic",
    choices: { kind: "buttons", buttons: choices },
  } as const;
  expect(plainText(content)).toBe("*Visit*\n\nWill you come?\n\n1. Yes\n2. No: later\n\n_Clinic_");
  const list = {
    type: "interactive",
    body: "When?",
    choices: { kind: "list", button: "Days", rows: choices },
  } as const;
  expect(plainText(list)).toBe("When?\n\n1. Yes\n2. No: later");
});
