import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { AnswerCounter } from "./answers.ts";

const ANSWERS =
  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" +
  "HTTP/1.1 503 Sorry\r\nx: y\r\ncontent-length:0\r\n\r\n" +
  "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n\r\n\r";

describe("counting answers", () => {
  it("does not depend on how the bytes are cut", () => {
    for (let size = 1; size <= ANSWERS.length; size++) {
      const found: number[] = [];
      const counter = new AnswerCounter((status) => found.push(status));
      for (let from = 0; from < ANSWERS.length; from += size) {
        counter.push(Buffer.from(ANSWERS.slice(from, from + size)));
      }
      assert.deepEqual(found, [200, 503, 200], `in pieces of ${size}`);
    }
  });

  it("does not count a cut one", () => {
    const found: number[] = [];
    new AnswerCounter((status) => found.push(status)).push(Buffer.from(ANSWERS.slice(0, 40)));
    assert.deepEqual(found, []);
  });

  it("refuses what it cannot delimit", () => {
    const counter = new AnswerCounter(() => {});
    assert.throws(() => counter.push(Buffer.from("HTTP/1.1 200 OK\r\n\r\n")), /content-length/);
  });
});
