import { persistently } from "./batches.ts";
import { within } from "./database.ts";
import { storeFailure } from "./failures.ts";

/** A statement of the queue that takes longer counts as failed. */
export const STATEMENT_LIMIT_MS = 10_000;

/** Runs a statement of the queue, again when it collided with another one. Throws PonteError. */
export async function queueStatement<T>(statement: () => Promise<T>): Promise<T> {
  try {
    return await persistently(() => within(statement(), STATEMENT_LIMIT_MS));
  } catch (error) {
    throw storeFailure(error);
  }
}
