import { storeFailure } from "./failures.ts";

/** A statement whose failure is told in ponte's words. */
export async function telling<T>(statement: Promise<T>): Promise<T> {
  try {
    return await statement;
  } catch (error) {
    throw storeFailure(error);
  }
}

/** A member only where there is a value, as `exactOptionalPropertyTypes` wants it. */
export function given<K extends string, V>(key: K, value: V | null | undefined): { readonly [P in K]?: V } {
  return (value === null || value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: V };
}

export function instant(key: string, value: Date | null): Record<string, number> {
  return value === null ? {} : { [key]: value.getTime() };
}
