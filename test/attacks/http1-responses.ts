/** HTTP/1 responses that are wrong or odd, and what a client, and whoever stands behind it, gets of each. */
import { CHUNK_EXTENSION_BYTES_MAX } from "../../src/protocol/http1/chunked.ts";
import { INTERIM_HEADS_MAX } from "../../src/protocol/http1/client.ts";
import { defaultHttpLimits } from "../../src/protocol/limits.ts";
import type { MessageText } from "./http1-messages.ts";

const { startLineBytes, headBytes, headerCount } = defaultHttpLimits;

const OK = "HTTP/1.1 200 OK\r\n";
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`;
const HELLO = `${OK}Content-Length: 5\r\n\r\nhello`;
const GOOD: MessageText = "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello";
const EARLY = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";

/** Refused before anything of it is passed on: a sidecar answers 502 in its place. */
export const refusedResponses: readonly (readonly [what: string, input: string])[] = [
  ["no status line", "hello\r\n\r\n"],
  ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"],
  ["a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n"],
  ["a status below 100", "HTTP/1.1 099 No\r\n\r\n"],
  ["HTTP/2", "HTTP/2.0 200 OK\r\n\r\n"],
  ["a bare LF after the status line", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"],
  ["NUL in the reason", "HTTP/1.1 200 \0\r\nContent-Length: 0\r\n\r\n"],
  ["both framings", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ["differing lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"],
  ["a coding other than chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"],
  ["Transfer-Encoding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ["a folded field", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"],
  ["a 101 out of the blue", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"],
  ["a large head", `HTTP/1.1 200 OK\r\nX: ${"a".repeat(headBytes)}`],
  ["a long status line", `HTTP/1.1 200 ${"a".repeat(startLineBytes)}\r\n\r\n`],
  ["many fields", `HTTP/1.1 200 OK\r\n${"X: a\r\n".repeat(headerCount + 1)}\r\n`],
  ["a list of lengths", `${OK}Content-Length: 5, 5\r\n\r\nhello`],
  ["the same length twice", `${OK}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`],
  ["a signed length", `${OK}Content-Length: +5\r\n\r\nhello`],
  ["a negative length", `${OK}Content-Length: -1\r\n\r\nhello`],
  ["a hexadecimal length", `${OK}Content-Length: 0x5\r\n\r\nhello`],
  ["an empty length", `${OK}Content-Length:\r\n\r\nhello`],
  ["a length that wraps 64 bits", `${OK}Content-Length: 18446744073709551621\r\n\r\nhello`],
  ["both framings, the other way round", `${OK}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n`],
  ["both framings in a 304", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"],
  ["chunked twice", `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ["chunked, then identity", `${OK}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`],
  ["xchunked", `${OK}Transfer-Encoding: xchunked\r\n\r\nhello`],
  ["a vertical tab before chunked", `${OK}Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n`],
  ["an empty coding", `${OK}Transfer-Encoding:\r\n\r\nhello`],
  ["whitespace before the colon", `${OK}Content-Length : 5\r\n\r\nhello`],
  ["whitespace before the first field", `${OK} Content-Length: 5\r\n\r\nhello`],
  ["a field without colon", `${OK}nothing\r\n\r\n`],
  ["a field without name", `${OK}: nothing\r\n\r\n`],
  ["NUL in a value", `${OK}X: a\0b\r\nContent-Length: 0\r\n\r\n`],
  ["NUL in a name", `${OK}X\0: a\r\nContent-Length: 0\r\n\r\n`],
  ["a bare CR in a value: a split response", `${OK}X: a\rContent-Length: 0\r\r${HELLO}`],
  ["a bare LF in a value: a split response", `${OK}X: a\nContent-Length: 0\n\n${HELLO}`],
  ["a bare LF as the empty line", `${OK}Content-Length: 0\r\n\n`],
  ["CR CR LF", `${OK}Content-Length: 0\r\r\n\r\n`],
  ["no space before the status", "HTTP/1.1200 OK\r\nContent-Length: 0\r\n\r\n"],
  ["two spaces before the status", "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n"],
  ["no space behind the status", "HTTP/1.1 200OK\r\nContent-Length: 0\r\n\r\n"],
  ["a tab behind the status", "HTTP/1.1 200\tOK\r\nContent-Length: 0\r\n\r\n"],
  ["a signed status", "HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n"],
  ["a status that is no number", "HTTP/1.1 2o0 OK\r\nContent-Length: 0\r\n\r\n"],
  ["HTTP/1.2", "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n"],
  ["HTTP/11", "HTTP/11 200 OK\r\nContent-Length: 0\r\n\r\n"],
  ["http/1.1", "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
  ["ICY", "ICY 200 OK\r\nContent-Length: 0\r\n\r\n"],
  ["HTTP/0.9", "<html>no head at all, but a long enough text</html>"],
  ["an empty line before the response", `\r\n${HELLO}`],
  ["a space before the response", ` ${HELLO}`],
  ["a request", "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"],
  ["a SETTINGS frame of HTTP/2", "\0\0\0\x04\0\0\0\0\0\0\0\0\x04\0\0\0\0\0"],
  ["a good interim and a bad final head", `${EARLY}HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n`],
  [
    "an interim head with both framings",
    `HTTP/1.1 103 x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n${HELLO}`,
  ],
  ["one interim head too many", EARLY.repeat(INTERIM_HEADS_MAX + 1) + HELLO],
  ["hundreds of interim heads", EARLY.repeat(500) + HELLO],
  ["a large head of few fields", `${OK}X: ${"a".repeat(headBytes)}\r\nContent-Length: 0\r\n\r\n`],
];

/** Begun well, and broken within the body: what was begun is cut, so that nobody takes it for whole. */
export const cutResponses: readonly (readonly [what: string, input: string])[] = [
  ["a chunk size that is no number", `${CHUNKED}zz\r\n`],
  ["an empty chunk size", `${CHUNKED}\r\n`],
  ["a signed chunk size", `${CHUNKED}+5\r\nhello\r\n0\r\n\r\n`],
  ["0x before a chunk size", `${CHUNKED}0x5\r\nhello\r\n0\r\n\r\n`],
  ["a space behind a chunk size", `${CHUNKED}5 \r\nhello\r\n0\r\n\r\n`],
  ["a chunk size that wraps 64 bits", `${CHUNKED}10000000000000005\r\nhello\r\n0\r\n\r\n`],
  ["a bare LF behind a chunk size", `${CHUNKED}5\nhello\r\n0\r\n\r\n`],
  ["a chunk longer than its size", `${CHUNKED}2\r\nhello\r\n0\r\n\r\n`],
  ["a chunk shorter than its size", `${CHUNKED}7\r\nhello\r\n0\r\n\r\n`],
  ["long chunk extensions", `${CHUNKED}5;${"a".repeat(CHUNK_EXTENSION_BYTES_MAX + 1)}\r\nhello\r\n0\r\n\r\n`],
  ["a bare LF in a chunk extension", `${CHUNKED}5;a\nb\r\nhello\r\n0\r\n\r\n`],
  ["a bare LF at the end", `${CHUNKED}5\r\nhello\r\n0\r\n\n`],
  ["a folded trailer", `${CHUNKED}5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n`],
  ["NUL in a trailer", `${CHUNKED}5\r\nhello\r\n0\r\nX: \0\r\n\r\n`],
  ["large trailers", `${CHUNKED}5\r\nhello\r\n0\r\nX: ${"a".repeat(headBytes)}\r\n\r\n`],
  ["many trailers", `${CHUNKED}5\r\nhello\r\n0\r\n${"X: a\r\n".repeat(headerCount + 1)}\r\n`],
  ["a second response in place of trailers", `${CHUNKED}5\r\nhello\r\n0\r\n${HELLO}`],
];

/** Ended by the server's FIN: what the caller gets; "502", or "cut" as above. */
export const truncatedResponses: readonly (readonly [what: string, input: string, gives: MessageText])[] = [
  ["nothing", "", "502"],
  ["half a status line", "HTTP/1.1 20", "502"],
  ["half a head", `${OK}Content-Length: 5\r\n`, "502"],
  ["an interim head and nothing else", EARLY, "502"],
  ["half a body", `${OK}Content-Length: 10\r\n\r\nhello`, "cut"],
  ["no body where one was announced", `${OK}Content-Length: 10\r\n\r\n`, "cut"],
  ["half a chunk", `${CHUNKED}a\r\nhello`, "cut"],
  ["chunks without the last", `${CHUNKED}5\r\nhello\r\n`, "cut"],
  ["a last chunk without its end", `${CHUNKED}5\r\nhello\r\n0\r\n`, "cut"],
  ["half a trailer", `${CHUNKED}5\r\nhello\r\n0\r\nX: a`, "cut"],
  ["a body without length", `${OK}\r\nhello`, "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nhello"],
  ["an empty body without length", `${OK}\r\n`, "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n"],
  ["a body of HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nhello", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nhello"],
  [
    "a response in a body without length",
    `${OK}\r\n${HELLO}`,
    `HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n${HELLO}`,
  ],
];

export interface OddResponse {
  readonly what: string;
  readonly input: string;
  /** What the caller gets: interim heads and the response. */
  readonly gives: readonly MessageText[];
  readonly method?: "HEAD" | "GET";
}

const head = (lines: string): string => `HTTP/1.1 200 OK\n${lines}\n`;

function status(line: string, given = line): OddResponse {
  return {
    what: `the status line ${JSON.stringify(line)}`,
    input: `${line}\r\nContent-Length: 5\r\n\r\nhello`,
    gives: [`${given}\nContent-Length: 5\n\nhello`],
  };
}

function fields(what: string, sent: string, left: string): OddResponse {
  return {
    what,
    input: `${OK}${sent}Content-Length: 5\r\n\r\nhello`,
    gives: [`${head(`${left}Content-Length: 5\n`)}hello`],
  };
}

/** Odd, and proper all the same: passed on, and the connection stays good. */
export const oddResponses: readonly OddResponse[] = [
  status("HTTP/1.1 200", "HTTP/1.1 200 OK"),
  status("HTTP/1.1 200 ", "HTTP/1.1 200 OK"),
  status("HTTP/1.1 200 Tr\xe8s  bien, merci!"),
  status("HTTP/1.1 200 HTTP/1.1 500 Internal Server Error"),
  status("HTTP/1.1 299 "),
  status("HTTP/1.1 599 x"),
  status("HTTP/1.1 999 y"),
  status("HTTP/1.1 205 Reset Content"),
  fields(
    "names in any case and order",
    "x-a: 1\r\nX-B: 2\r\nSERVER: z\r\nx-A: 3\r\n",
    "x-a: 1\nX-B: 2\nSERVER: z\nx-A: 3\n",
  ),
  fields("cookies one by one", "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n", "Set-Cookie: a=1\nSet-Cookie: b=2\n"),
  fields(
    "hop-by-hop fields",
    "Connection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nProxy-Connection: close\r\n",
    "",
  ),
  fields("an offer to upgrade", "Connection: Upgrade\r\nUpgrade: h2c\r\n", ""),
  fields(
    "fields of sidecars",
    "heddle-orig-proto: 1.1 Hacked\r\nHeddle-Orig-Names: X\r\nheddle-unprocessed: 1\r\nX: y\r\n",
    "X: y\n",
  ),
  {
    what: "fields of sidecars in lower case",
    input: `${OK}heddle-orig-proto: 1.1 Hacked\r\ncontent-length: 5\r\n\r\nhello`,
    gives: ["HTTP/1.1 200 OK\ncontent-length: 5\n\nhello"],
  },
  fields("as many fields as may be", "X: a\r\n".repeat(headerCount - 1), "X: a\n".repeat(headerCount - 1)),
  { what: "HTTP/1.0 with a length", input: "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", gives: [GOOD] },
  {
    what: "HTTP/1.0 kept alive",
    input: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    gives: [GOOD],
  },
  {
    what: "Connection: close with a length",
    input: `${OK}Connection: close\r\nContent-Length: 5\r\n\r\nhello`,
    gives: [GOOD],
  },
  {
    what: "chunks",
    input: `${CHUNKED}1\r\nh\r\n4;x=y\r\nello\r\n000\r\n\r\n`,
    gives: [`${head("Transfer-Encoding: chunked\n")}hello`],
  },
  {
    what: "a response as a chunk",
    input: `${CHUNKED}${HELLO.length.toString(16)}\r\n${HELLO}\r\n0\r\n\r\n`,
    gives: [`${head("Transfer-Encoding: chunked\n")}${HELLO}`],
  },
  {
    what: "a response as a body",
    input: `${OK}Content-Length: ${HELLO.length}\r\n\r\n${HELLO}`,
    gives: [`${head(`Content-Length: ${HELLO.length}\n`)}${HELLO}`],
  },
  {
    what: "trailers",
    input: `${CHUNKED}5\r\nhello\r\n0\r\nx-t: u\r\n\r\n`,
    gives: [`${head("Transfer-Encoding: chunked\n")}hello\nx-t: u\n`],
  },
  {
    what: "trailers that would frame",
    input: `${CHUNKED}5\r\nhello\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n\r\n`,
    gives: [`${head("Transfer-Encoding: chunked\n")}hello`],
  },
  { what: "an empty body", input: `${OK}Content-Length: 0\r\n\r\n`, gives: [head("Content-Length: 0\n")] },
  { what: "204", input: "HTTP/1.1 204 No Content\r\n\r\n", gives: ["HTTP/1.1 204 No Content\n\n"] },
  {
    what: "204 with a length",
    input: "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    gives: ["HTTP/1.1 204 No Content\n\n"],
  },
  {
    what: "304 with the length that a body would have",
    input: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    gives: ["HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n"],
  },
  {
    what: "HEAD with the length that a body would have",
    method: "HEAD",
    input: `${OK}Content-Length: 5\r\n\r\n`,
    gives: [head("Content-Length: 5\n")],
  },
  { what: "HEAD with chunked", method: "HEAD", input: CHUNKED, gives: [head("")] },
  { what: "HEAD without anything", method: "HEAD", input: `${OK}\r\n`, gives: [head("")] },
  { what: "100", input: `HTTP/1.1 100 Continue\r\n\r\n${HELLO}`, gives: ["HTTP/1.1 100 Continue\n\n", GOOD] },
  { what: "102", input: `HTTP/1.1 102 Processing\r\n\r\n${HELLO}`, gives: ["HTTP/1.1 102 Processing\n\n", GOOD] },
  {
    what: "103 with fields",
    input: `${EARLY}${EARLY}${HELLO}`,
    gives: ["HTTP/1.1 103 Early Hints\nLink: </a>\n\n", "HTTP/1.1 103 Early Hints\nLink: </a>\n\n", GOOD],
  },
  { what: "199 without reason", input: `HTTP/1.1 199 \r\n\r\n${HELLO}`, gives: ["HTTP/1.1 199 \n\n", GOOD] },
  {
    what: "an interim head with a length, which means nothing",
    input: `HTTP/1.1 103 Early Hints\r\nContent-Length: 50\r\n\r\n${HELLO}`,
    gives: ["HTTP/1.1 103 Early Hints\n\n", GOOD],
  },
  {
    what: "as many interim heads as may be",
    input: EARLY.repeat(INTERIM_HEADS_MAX) + HELLO,
    gives: [...Array<string>(INTERIM_HEADS_MAX).fill("HTTP/1.1 103 Early Hints\nLink: </a>\n\n"), GOOD],
  },
];

const POISON = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned";

/** Good responses with bytes behind them: given as they are, and the connection is used no more. */
export const surplusResponses: readonly (OddResponse & { readonly surplus: string })[] = [
  { what: "a byte behind a body", input: HELLO, gives: [GOOD], surplus: "!" },
  { what: "an empty line behind a body", input: HELLO, gives: [GOOD], surplus: "\r\n" },
  { what: "a second response", input: HELLO, gives: [GOOD], surplus: POISON },
  { what: "half a second response", input: HELLO, gives: [GOOD], surplus: POISON.slice(0, 20) },
  { what: "an interim head behind a response", input: HELLO, gives: [GOOD], surplus: EARLY },
  {
    what: "a second response behind chunks",
    input: `${CHUNKED}5\r\nhello\r\n0\r\n\r\n`,
    gives: [`${head("Transfer-Encoding: chunked\n")}hello`],
    surplus: POISON,
  },
  {
    what: "a second response behind trailers",
    input: `${CHUNKED}5\r\nhello\r\n0\r\nx: y\r\n\r\n`,
    gives: [`${head("Transfer-Encoding: chunked\n")}hello\nx: y\n`],
    surplus: POISON,
  },
  {
    what: "a second response behind an empty one",
    input: `${OK}Content-Length: 0\r\n\r\n`,
    gives: [head("Content-Length: 0\n")],
    surplus: POISON,
  },
  {
    what: "a body of a 204",
    input: "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    gives: ["HTTP/1.1 204 No Content\n\n"],
    surplus: "hello",
  },
  {
    what: "chunks of a 204",
    input: "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    gives: ["HTTP/1.1 204 No Content\n\n"],
    surplus: "5\r\nhello\r\n0\r\n\r\n",
  },
  {
    what: "a response in a 304",
    input: "HTTP/1.1 304 Not Modified\r\nContent-Length: 46\r\n\r\n",
    gives: ["HTTP/1.1 304 Not Modified\nContent-Length: 46\n\n"],
    surplus: POISON,
  },
  {
    what: "a body for a HEAD",
    method: "HEAD",
    input: `${OK}Content-Length: 5\r\n\r\n`,
    gives: [head("Content-Length: 5\n")],
    surplus: "hello",
  },
  { what: "a response as the body for a HEAD", method: "HEAD", input: CHUNKED, gives: [head("")], surplus: POISON },
];
