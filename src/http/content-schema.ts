import Type from "typebox";
import type { OutgoingContent } from "#core/message/content.ts";
import { variantCheck, variants } from "./check.ts";
import { jsonObject } from "./wire.ts";

/** What can be sent, as the API takes it. Lengths are the Cloud API's limits. */

const text = (maxLength: number, description: string) => Type.String({ minLength: 1, maxLength, description });
const closed = { additionalProperties: false };

const choice = Type.Object(
  {
    id: text(256, "Comes back in the reply."),
    title: text(24, "What the person reads."),
    description: Type.Optional(text(72, "Below the title, in lists.")),
  },
  closed,
);

const shapes = {
  text: Type.Object(
    {
      type: Type.Literal("text"),
      text: text(4_096, "What it says."),
      preview_url: Type.Optional(Type.Boolean({ description: "Show a preview of the first link." })),
    },
    closed,
  ),
  template: Type.Object(
    {
      type: Type.Literal("template"),
      name: text(512, "As Meta approved it."),
      language: Type.String({ pattern: "^[a-z]{2,3}(_[A-Za-z]{2,4})?$", examples: ["pt_BR"] }),
      body: Type.Optional(Type.Array(Type.String({ maxLength: 1_024 }), { maxItems: 50 })),
      components: Type.Optional(Type.Array(jsonObject("Passed on as it is."), { maxItems: 20 })),
      fallback_text: Type.Optional(text(4_096, "For a provider without templates.")),
    },
    closed,
  ),
  interactive: Type.Object(
    {
      type: Type.Literal("interactive"),
      header: Type.Optional(text(60, "Above the text.")),
      body: text(1_024, "What it says."),
      footer: Type.Optional(text(60, "Below the text.")),
      choices: Type.Union([
        Type.Object(
          { kind: Type.Literal("buttons"), buttons: Type.Array(choice, { minItems: 1, maxItems: 3 }) },
          closed,
        ),
        Type.Object(
          {
            kind: Type.Literal("list"),
            button: text(20, "Opens the list."),
            rows: Type.Array(choice, { minItems: 1, maxItems: 10 }),
          },
          closed,
        ),
      ]),
    },
    closed,
  ),
};

export const outgoingContent = Type.Unsafe<OutgoingContent>(
  Type.Union(Object.values(shapes), {
    ...variants,
    description: "A text, a template that Meta approved, or buttons or a list to choose from.",
  }),
);

const check = variantCheck(shapes);

/** The content that a body holds at `path`; throws the 400 that names the field of the variant that was meant. */
export function contentOf(value: unknown, path: string): OutgoingContent {
  const problem = check(value, path);
  if (problem !== undefined) throw problem;
  return value as OutgoingContent;
}
