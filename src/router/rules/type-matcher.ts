import { isTypePattern, typePatternSource } from "#core/event/type-pattern.ts";

/** Patterns come from rules and endpoints, of which there are few; a tenant that keeps changing them shall not fill the memory. */
const MAX_REMEMBERED = 5_000;
const remembered = new Map<string, RegExp>();

/** What is no pattern stands for nothing. */
const NOTHING = /(?!)/;

/** Whether an event type fits a pattern, see `typePatternSource`. */
export function fitsType(pattern: string, type: string): boolean {
  let expression = remembered.get(pattern);
  if (expression === undefined) {
    if (remembered.size >= MAX_REMEMBERED) remembered.clear();
    expression = isTypePattern(pattern) ? new RegExp(typePatternSource(pattern)) : NOTHING;
    remembered.set(pattern, expression);
  }
  return expression.test(type);
}
