import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { dropOwnFields } from "./own-fields.ts";

describe("the fields of sidecars", () => {
  it("are taken out wherever they stand, however often and in any case of letters", () => {
    const headers = ["a", "1", "Heddle-Orig-Proto", "2", "b", "3", "heddle-unprocessed", "1", "HEDDLE-ORIG-NAMES", "x"];
    headers.push("heddle-orig-proto", "1.0", "c", "4", "heddle-orig-whatever-comes", "");
    dropOwnFields(headers);
    assert.deepEqual(headers, ["a", "1", "b", "3", "c", "4"]);
  });

  it("are not confused with others", () => {
    const headers = [
      "if-modified-since",
      "x",
      "heddle-origin-proto",
      "y",
      "heddle-error",
      "z",
      "heddle-unprocesses",
      "w",
    ];
    const same = headers.slice();
    dropOwnFields(headers);
    assert.deepEqual(headers, same);
  });
});
