import type { FieldProblem } from "./rule-check.ts";

/** The Cloud API's limits; templates in a text count as they are written. */
const MAX_TEXT = 4_096;
const MAX_BODY = 1_024;
const MAX_BUTTONS = 3;
const MAX_ROWS = 10;
const MAX_TITLE = 24;
const MAX_ID = 200;

type Fields = Readonly<Record<string, unknown>>;

/** Everything that is wrong with what is to be sent, whatever it is; empty: it is an `OutgoingContent`. */
export function contentProblems(value: unknown, field: string): readonly FieldProblem[] {
  const content = fieldsOf(value);
  if (content === undefined) return [{ field, message: "must be an object" }];
  switch (content["type"]) {
    case "text":
      return text(content["text"], `${field}.text`, MAX_TEXT);
    case "template":
      return templateProblems(content, field);
    case "interactive":
      return interactiveProblems(content, field);
    default:
      return [{ field: `${field}.type`, message: "must be text, template or interactive" }];
  }
}

function templateProblems(content: Fields, field: string): readonly FieldProblem[] {
  const { body = [], components = [], fallback_text } = content as { readonly [key: string]: unknown };
  return [
    ...text(content["name"], `${field}.name`, MAX_BODY),
    ...text(content["language"], `${field}.language`, MAX_ID),
    ...(isTexts(body) ? [] : [{ field: `${field}.body`, message: "must be a list of texts" }]),
    ...(Array.isArray(components) && components.every((one) => fieldsOf(one) !== undefined)
      ? []
      : [{ field: `${field}.components`, message: "must be a list of objects" }]),
    ...(fallback_text === undefined ? [] : text(fallback_text, `${field}.fallback_text`, MAX_TEXT)),
  ];
}

function interactiveProblems(content: Fields, field: string): readonly FieldProblem[] {
  const choices = fieldsOf(content["choices"]);
  const where = `${field}.choices`;
  return [
    ...text(content["body"], `${field}.body`, MAX_BODY),
    ...optional(content["header"], `${field}.header`),
    ...optional(content["footer"], `${field}.footer`),
    ...(choices?.["kind"] === "buttons"
      ? listProblems(choices["buttons"], `${where}.buttons`, MAX_BUTTONS)
      : choices?.["kind"] === "list"
        ? [
            ...text(choices["button"], `${where}.button`, MAX_TITLE),
            ...listProblems(choices["rows"], `${where}.rows`, MAX_ROWS),
          ]
        : [{ field: `${where}.kind`, message: "must be buttons or list" }]),
  ];
}

function listProblems(value: unknown, field: string, most: number): readonly FieldProblem[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > most)
    return [{ field, message: `must have 1 to ${most} members` }];
  return value.flatMap((one: unknown, index) => {
    const choice = fieldsOf(one);
    if (choice === undefined) return [{ field: `${field}[${index}]`, message: "must be an object" }];
    return [
      ...text(choice["id"], `${field}[${index}].id`, MAX_ID),
      ...text(choice["title"], `${field}[${index}].title`, MAX_TITLE),
      ...optional(choice["description"], `${field}[${index}].description`),
    ];
  });
}

function text(value: unknown, field: string, most: number): readonly FieldProblem[] {
  const right = typeof value === "string" && value.trim() !== "" && value.length <= most;
  return right ? [] : [{ field, message: `must be a text of 1 to ${most} characters` }];
}

function optional(value: unknown, field: string): readonly FieldProblem[] {
  return value === undefined ? [] : text(value, field, MAX_BODY);
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}

function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;
}
