/**
 * One way by which WhatsApp names a person or a group. A person may show several over time: a phone number, a linked id
 * (`…@lid`) that hides it, a business-scoped user id (BSUID) of Meta. All that were ever seen together are one contact.
 */
export type IdentityKind = "phone" | "lid" | "bsuid" | "group";

export interface Identity {
  readonly kind: IdentityKind;
  /**
   * What is compared: equal values are the same person. For `phone` the digits without `+`, in the one form that stands for all
   * equivalent forms (Brazil's mobile numbers with and without the ninth digit); for `lid` and `group` the part before `@`; for
   * `bsuid` as Meta gives it.
   */
  readonly value: string;
  /** What is sent to: the last form in which WhatsApp itself gave it, such as the number without the ninth digit. */
  readonly address: string;
}

/** A person, as far as a tenant knows them. */
export interface Contact {
  /** UUID. */
  readonly id: string;
  readonly tenantId: string;
  readonly name?: string;
  readonly identities: readonly Identity[];
}

export function isSame(one: Identity, other: Identity): boolean {
  return one.kind === other.kind && one.value === other.value;
}

/** The same identities, in the forms in which the contact is known. */
export function asKnown<T extends readonly Identity[]>({ identities }: Contact, given: T): T {
  return given.map((one) => identities.find((known) => isSame(known, one)) ?? one) as unknown as T;
}
