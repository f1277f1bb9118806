import { expect, test } from "vitest";
import { PonteError } from "#core/error.ts";
import { ApiError, bodyOf, toApiError } from "#http/errors.ts";

test.each([
  ["a refusal as it is", new ApiError(409, "call_ended", "x"), 409, "call_ended"],
  [
    "a passing failure as 503",
    new PonteError("store_unavailable", "db at 10.0.0.1", { retryable: true }),
    503,
    "store_unavailable",
  ],
  ["a lasting failure as 500", new PonteError("store_failed", "column secret_column"), 500, "store_failed"],
  ["a wrong cursor as 400", new PonteError("bad_cursor", "x"), 400, "invalid_request"],
  ["a defect as 500", new TypeError("cannot read secret_column"), 500, "internal_error"],
  ["anything as 500", "secret_column", 500, "internal_error"],
  ["nothing as 500", undefined, 500, "internal_error"],
])("tells %s, and nothing of what is inside", (_what, error, status, code) => {
  const answer = toApiError(error, "r-1");
  expect([answer.status, answer.code]).toEqual([status, code]);
  expect(JSON.stringify(bodyOf(answer))).not.toMatch(/secret_column|10\.0\.0\.1/);
});
