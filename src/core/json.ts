/** What JSON can say. Documents that are stored, shown and matched by rules (payloads, actions, hours) are of this type and snake_case. */
export type Json = string | number | boolean | null | readonly Json[] | JsonObject;

export type JsonObject = { readonly [key: string]: Json };
