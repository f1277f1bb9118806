import { expect, test } from "vitest";
import { identitiesOf, identityOf } from "#core/contact/person.ts";

test("a person's identities, the longest-lived first", () => {
  const person = { lid: "123456789012345", bsuid: "BR.1349", phone: "551187654321", name: "Ana" };
  expect(identitiesOf(person)).toEqual([
    { kind: "phone", value: "5511987654321", address: "551187654321" },
    { kind: "bsuid", value: "BR.1349", address: "BR.1349" },
    { kind: "lid", value: "123456789012345", address: "123456789012345" },
  ]);
});

test("what is no identity is left out", () => {
  expect(identitiesOf({ phone: "123", lid: "x@lid", bsuid: "BR 1" })).toEqual([]);
  expect(identitiesOf({ name: "Ana" })).toEqual([]);
});

test.each([
  ["+55 11 98765-4321", "phone", "5511987654321"],
  ["551187654321@c.us", "phone", "5511987654321"],
  ["5511987654321@s.whatsapp.net", "phone", "5511987654321"],
  ["123456789012345@lid", "lid", "123456789012345"],
  ["120363025246125486@g.us", "group", "120363025246125486"],
  ["BR.13491208655302741918", "bsuid", "BR.13491208655302741918"],
])("%s is a %s", (text, kind, value) => {
  expect(identityOf(text)).toMatchObject({ kind, value });
});

test.each(["", "Ana", "ana@example.com", "status@broadcast", "x@g.us", "12@c.us"])("%j is nobody", (text) => {
  expect(identityOf(text)).toBeUndefined();
});
