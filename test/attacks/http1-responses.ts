/** HTTP/1 responses that are wrong or odd, and what a strict reader makes of each. */
import { defaultHttpLimits } from "../../src/protocol/limits.ts";

const { startLineBytes, headBytes, headerCount } = defaultHttpLimits;

/** Refused before the receiver has had a byte of the body. */
export const refusedResponses: readonly (readonly [what: string, code: string, input: string])[] = [
  ["no status line", "protocol", "hello\r\n\r\n"],
  ["a status of two digits", "protocol", "HTTP/1.1 20 OK\r\n\r\n"],
  ["a status of four digits", "protocol", "HTTP/1.1 2000 OK\r\n\r\n"],
  ["a status below 100", "protocol", "HTTP/1.1 099 No\r\n\r\n"],
  ["HTTP/2", "protocol", "HTTP/2.0 200 OK\r\n\r\n"],
  ["a bare LF after the status line", "protocol", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"],
  ["NUL in the reason", "protocol", "HTTP/1.1 200 \0\r\nContent-Length: 0\r\n\r\n"],
  ["both framings", "protocol", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ["differing lengths", "protocol", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"],
  ["a coding other than chunked", "protocol", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"],
  ["Transfer-Encoding in HTTP/1.0", "protocol", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ["a folded field", "protocol", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"],
  [
    "a 101 out of the blue",
    "protocol",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
  ],
  ["a bad chunk", "protocol", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
  ["a large head", "overflow", `HTTP/1.1 200 OK\r\nX: ${"a".repeat(headBytes)}`],
  ["a long status line", "overflow", `HTTP/1.1 200 ${"a".repeat(startLineBytes)}\r\n\r\n`],
  ["many fields", "overflow", `HTTP/1.1 200 OK\r\n${"X: a\r\n".repeat(headerCount + 1)}\r\n`],
];
