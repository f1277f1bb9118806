/** Words of letters, digits and `_`, or `*`, with dots between them; for schemas too. */
export const TYPE_PATTERN = "^(\\*|[a-z0-9_]+)(\\.(\\*|[a-z0-9_]+))*$";
export const MAX_PATTERN_LENGTH = 128;

const expression = new RegExp(TYPE_PATTERN);

/** An event type, or one in which words are `*`. */
export function isTypePattern(text: string): boolean {
  return text.length <= MAX_PATTERN_LENGTH && expression.test(text);
}

/**
 * A regular expression, the same for JavaScript and Postgres, for the types that a pattern stands for: `*` is one word, a last
 * `*` any number of them, but at least one.
 *
 * @param pattern see `isTypePattern`; it holds no other special character than dots and stars.
 */
export function typePatternSource(pattern: string): string {
  const words = pattern.split(".");
  const parts = words.map((word, index) => {
    if (word !== "*") return word;
    return index === words.length - 1 ? "[a-z0-9_]+([.][a-z0-9_]+)*" : "[a-z0-9_]+";
  });
  return `^${parts.join("[.]")}$`;
}
