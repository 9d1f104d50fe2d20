/** Protocol detection: what was decided on a beginning stays true however the connection goes on. */
import assert from "node:assert/strict";

import { classify, DETECT_BYTES_MAX } from "../../src/protocol/detect.ts";
import type { Target } from "../target.ts";

export const detect: Target = {
  name: "detect",
  tokens: [
    "GET ",
    "POST ",
    "CONNECT ",
    "M-SEARCH ",
    "/",
    "*",
    "http://",
    "https://h/",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    " HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "PRI * ",
    "\x16\x03\x01",
    "\r\n",
    "\n",
    "EHLO h\r\n",
    "SSH-2.0-x\r\n",
    "\0\0\0\x08\x04\xd2\x16\x2f",
    "a".repeat(40),
    "a".repeat(600),
  ],
  bytesMax: DETECT_BYTES_MAX + 100,
  run(input) {
    let decided: string | undefined;
    let decidedAt = 0;
    const step = 1 + Math.floor(input.length / 300);
    for (let length = 0; ; length = Math.min(length + step, input.length)) {
      const now = classify(input.subarray(0, length));
      if (decided === undefined) {
        decided = now;
        decidedAt = length;
      }
      assert.equal(now, decided, `${length} bytes say otherwise than ${decidedAt}`);
      if (length === input.length) break;
    }
    assert.ok(decided !== undefined || input.length <= DETECT_BYTES_MAX, "it waits for no more than its bound");
    return `${decided} ${Math.min(decidedAt, 40)}`;
  },
};
