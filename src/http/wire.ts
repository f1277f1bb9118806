import Type, { type TProperties, type TSchema } from "typebox";
import type { Instant } from "#core/call/call.ts";
import type { Page, PageQuery } from "#router/ports.ts";
import type { Outcome } from "#router/services.ts";
import { ApiError } from "./errors.ts";

/** What the resources of messages and events have in common on the wire. */

const DEFAULT_PAGE = 50;
/** Keeps an answer below about 1 MB. */
const MAX_PAGE = 200;

export const iso = (at: Instant): string => new Date(at).toISOString();

type Present<T> = { readonly [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  readonly [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** Without the properties that are undefined. */
export function present<T extends object>(value: T): Present<T> {
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as Present<T>;
}

export const uuid = (description: string) =>
  Type.String({ pattern: "^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", description });

export const idParams = (what: string) => Type.Object({ id: uuid(`Id of the ${what}.`) });

/** Any JSON object. */
export const jsonObject = (description: string) => Type.Record(Type.String(), Type.Unknown(), { description });

export const time = (description: string) => Type.String({ format: "date-time", maxLength: 40, description });

/** A thing that is shown: later versions may show more of it. */
export const shown = <P extends TProperties>(properties: P, description: string) =>
  Type.Object(properties, { additionalProperties: true, description });

/** A page's query, beside the filters of a list. */
export const pageQuery = <P extends TProperties>(filters: P) =>
  Type.Object(
    {
      ...filters,
      cursor: Type.Optional(
        Type.String({ minLength: 1, maxLength: 512, description: "`next` of the page before, as it was." }),
      ),
      limit: Type.Integer({ minimum: 1, maximum: MAX_PAGE, default: DEFAULT_PAGE, description: "Items in a page." }),
    },
    { additionalProperties: false },
  );

/** A page, under the name that its items have. */
export const pageSchema = (name: string, item: TSchema) =>
  Type.Unsafe<Record<string, unknown>>({
    type: "object",
    required: [name],
    properties: {
      [name]: Type.Array(item),
      next: Type.String({ description: "Cursor of the next page; absent on the last one." }),
    },
    description: "A page.",
  });

export function pageOf(
  tenantId: string,
  query: { readonly cursor?: string | undefined; readonly limit: number },
): PageQuery {
  return { tenantId, limit: query.limit, ...(query.cursor === undefined ? {} : { cursor: query.cursor }) };
}

export function pageView<T>(name: string, page: Page<T>, view: (item: T) => object): Record<string, unknown> {
  return { [name]: page.items.map(view), ...(page.next === undefined ? {} : { next: page.next }) };
}

/** The value of a good outcome; a refusal becomes the answer that it asks for. */
export function granted<T>(outcome: Outcome<T>): T {
  if (outcome.ok) return outcome.value;
  throw new ApiError(
    outcome.status,
    outcome.code,
    outcome.message,
    outcome.hint === undefined ? {} : { hint: outcome.hint },
  );
}

export function missing(what: string): ApiError {
  return new ApiError(404, `${what.replaceAll(" ", "_")}_not_found`, `There is no ${what} with this id.`);
}

/** What was found, or 404. */
export function found<T>(what: string, value: T | undefined): T {
  if (value === undefined) throw missing(what);
  return value;
}
