import { typePatternSource } from "#core/event/type-pattern.ts";

/** Patterns come from rules and endpoints, of which there are few; a tenant that keeps changing them shall not fill the memory. */
const MAX_REMEMBERED = 5_000;
const remembered = new Map<string, RegExp>();

/** Whether an event type fits a pattern, see `typePatternSource`. */
export function fitsType(pattern: string, type: string): boolean {
  let expression = remembered.get(pattern);
  if (expression === undefined) {
    if (remembered.size >= MAX_REMEMBERED) remembered.clear();
    expression = new RegExp(typePatternSource(pattern));
    remembered.set(pattern, expression);
  }
  return expression.test(type);
}
