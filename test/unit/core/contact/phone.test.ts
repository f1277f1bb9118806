import { expect, test } from "vitest";
import { canonicalPhone, equivalentPhones, phoneDigits, phoneIdentity } from "#core/contact/phone.ts";

test.each([
  ["5511987654321", "5511987654321"],
  ["551187654321", "5511987654321"],
  ["553198765432", "5531998765432"],
  // A landline never had a ninth digit.
  ["551132654321", "551132654321"],
  // Not Brazil.
  ["351912345678", "351912345678"],
  ["14155552671", "14155552671"],
  // No area code begins or ends with a zero.
  ["551087654321", "551087654321"],
])("%s is the same as %s", (digits, canonical) => {
  expect(canonicalPhone(digits)).toBe(canonical);
});

test("both forms of a Brazilian mobile number are one identity, sent to in the form that was given", () => {
  expect(phoneIdentity("551187654321")).toEqual({ kind: "phone", value: "5511987654321", address: "551187654321" });
  expect(equivalentPhones("551187654321")).toEqual(["551187654321", "5511987654321"]);
  expect(equivalentPhones("5511987654321")).toEqual(["5511987654321", "551187654321"]);
  expect(equivalentPhones("14155552671")).toEqual(["14155552671"]);
});

test.each([
  ["+55 (11) 98765-4321", "5511987654321"],
  ["0055 11 98765 4321", "5511987654321"],
  ["+55 (0) 11 98765\u20114321", "5511987654321"],
  ["\u202a+55 11 98765\u00a04321\u202c", "5511987654321"],
  // A national number says nothing about its country.
  ["011 98765-4321", undefined],
  ["+", undefined],
  ["123", undefined],
  ["1234567890123456", undefined],
  ["5511987654321@c.us", undefined],
  ["", undefined],
])("%j as a phone number: %s", (text, digits) => {
  expect(phoneDigits(text)).toBe(digits);
});
