/**
 * HTTP/2 requests that would become something else in HTTP/1, where they end up before most applications: a second
 * request, another length, another field. (What breaks HTTP/2 itself is for h2spec.)
 */

/** Header fields, names and values by turns, as they stand in the block. */
export type Fields = readonly string[];

const pseudo = (over: Record<string, string>): string[] =>
  Object.entries({ ":method": "POST", ":scheme": "http", ":path": "/", ":authority": "h", ...over }).flat();
const POST = pseudo({});
const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

export interface Http2Request {
  readonly what: string;
  readonly fields: Fields;
  /** Undefined: the head ends the stream. */
  readonly body?: string;
  readonly trailers?: Fields;
}

const withField = (what: string, name: string, value: string, body?: string): Http2Request => ({
  what,
  fields: [...POST, name, value],
  ...(body === undefined ? {} : { body }),
});

/** The stream, or the connection, is reset, and the back end gets no whole request. */
export const refusedHttp2: readonly Http2Request[] = [
  withField("Transfer-Encoding", "transfer-encoding", "chunked", `0\r\n\r\n${SMUGGLED}`),
  withField("Transfer-Encoding in upper case", "Transfer-Encoding", "chunked", `0\r\n\r\n${SMUGGLED}`),
  withField("Connection", "connection", "transfer-encoding"),
  withField("Keep-Alive", "keep-alive", "timeout=5"),
  withField("Proxy-Connection", "proxy-connection", "close"),
  withField("Upgrade", "upgrade", "h2c"),
  withField("TE other than trailers", "te", "chunked"),
  withField("a length below the body", "content-length", "0", SMUGGLED),
  withField("a length within the body", "content-length", "3", `abc${SMUGGLED}`),
  withField("a length above the body", "content-length", "500", "abc"),
  withField("a length and no body", "content-length", "5"),
  withField("a signed length", "content-length", "+3", "abc"),
  withField("a list of lengths", "content-length", "3, 3", "abc"),
  withField("a hexadecimal length", "content-length", "0x3", "abc"),
  withField("an empty length", "content-length", "", "abc"),
  withField("a length that wraps 64 bits", "content-length", "18446744073709551619", "abc"),
  { what: "two lengths", fields: [...POST, "content-length", "3", "content-length", "0"], body: "abc" },
  { what: "the same length twice", fields: [...POST, "content-length", "3", "content-length", "3"], body: "abc" },
  withField("CRLF in a value", "x", "a\r\nTransfer-Encoding: chunked"),
  withField("a request in a value", "x", `a\r\n\r\n${SMUGGLED}`),
  withField("LF in a value", "x", "a\nContent-Length: 0"),
  withField("CR in a value", "x", "a\rContent-Length: 0"),
  withField("NUL in a value", "x", "a\0b"),
  withField("a blank before a value", "x", " a"),
  withField("a blank behind a value", "x", "a\t"),
  withField("CRLF in a name", "x: y\r\nz", "a"),
  withField("a colon in a name", "transfer-encoding: chunked\r\nx", "a"),
  withField("a field in a name", "content-length: 0", "a"),
  withField("a space in a name", "content-length ", "0", "abc"),
  withField("an empty name", "", "a"),
  withField("a name in upper case", "X", "a"),
  withField("obs-text in a name", "x\xe4", "a"),
  withField("an unknown pseudo-header field", ":x", "a"),
  withField("a pseudo-header field behind others", ":path", "/smuggled"),
  withField("a second Host", "host", "i"),
  { what: "two Hosts", fields: [...POST, "host", "h", "host", "h"] },
  { what: "a Host with a comma", fields: [":method", "GET", ":scheme", "http", ":path", "/", "host", "h,i"] },
  { what: "a Host with a space", fields: [":method", "GET", ":scheme", "http", ":path", "/", "host", "h i"] },
  { what: "a response", fields: [":status", "200"] },
  { what: "a request line as the method", fields: pseudo({ ":method": "GET /smuggled HTTP/1.1\r\nX:" }) },
  { what: "a method with a space", fields: pseudo({ ":method": "GET /smuggled" }) },
  { what: "an empty method", fields: pseudo({ ":method": "" }) },
  { what: "a path with a version", fields: pseudo({ ":path": "/ HTTP/1.1" }) },
  { what: "a path with CRLF", fields: pseudo({ ":path": "/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX: " }) },
  { what: "a path with a tab", fields: pseudo({ ":path": "/a\tb" }) },
  { what: "a path with obs-text", fields: pseudo({ ":path": "/\xa0" }) },
  { what: "a path with a fragment", fields: pseudo({ ":path": "/#a" }) },
  { what: "an empty path", fields: pseudo({ ":path": "" }) },
  { what: "a path without slash", fields: pseudo({ ":path": "smuggled" }) },
  { what: "an absolute path", fields: pseudo({ ":path": "http://i/" }) },
  { what: "a path of * with POST", fields: pseudo({ ":path": "*" }) },
  { what: "two paths", fields: [":path", "/a", ...POST] },
  { what: "a scheme with a host", fields: pseudo({ ":scheme": "http://i/smuggled?" }) },
  { what: "a scheme with CRLF", fields: pseudo({ ":scheme": "http\r\nx: y" }) },
  { what: "an authority with CRLF", fields: pseudo({ ":authority": "h\r\nX: y" }) },
  { what: "an authority with a path", fields: pseudo({ ":authority": "h/smuggled" }) },
  { what: "an authority with user information", fields: pseudo({ ":authority": "i@h" }) },
  { what: "an authority with a comma", fields: pseudo({ ":authority": "h,i" }) },
  { what: "an authority with a backslash", fields: pseudo({ ":authority": "h\\i" }) },
  { what: "an authority with a bad port", fields: pseudo({ ":authority": "h:80x" }) },
  { what: "an authority with obs-text", fields: pseudo({ ":authority": "h\xe4" }) },
  { what: "CRLF in a trailer", fields: POST, body: "abc", trailers: ["x", `a\r\n\r\n${SMUGGLED}`] },
  { what: "Transfer-Encoding as a trailer", fields: POST, body: "abc", trailers: ["transfer-encoding", "chunked"] },
  { what: "a path as a trailer", fields: POST, body: "abc", trailers: [":path", "/smuggled"] },
];

const PLAIN = "POST / HTTP/1.1\nHost: h\n";

/** Arrives as this, when an application reads HTTP/1: as in `http1-neutral-requests.ts`. */
export const neutralHttp2: readonly (Http2Request & { readonly reaches: string })[] = [
  {
    ...withField("a request as a body with its length", "content-length", `${SMUGGLED.length}`, SMUGGLED),
    reaches: `${PLAIN}content-length: ${SMUGGLED.length}\n\n${SMUGGLED}`,
  },
  {
    what: "a request as a body without length",
    fields: POST,
    body: SMUGGLED,
    reaches: `${PLAIN}Transfer-Encoding: chunked\n\n${SMUGGLED}`,
  },
  {
    what: "the end of chunks as a body",
    fields: POST,
    body: "0\r\n\r\n",
    reaches: `${PLAIN}Transfer-Encoding: chunked\n\n0\r\n\r\n`,
  },
  { what: "no body and no length", fields: POST, reaches: `${PLAIN}Content-Length: 0\n\n` },
  {
    what: "trailers",
    fields: POST,
    body: "abc",
    trailers: ["x", "y"],
    reaches: `${PLAIN}Transfer-Encoding: chunked\n\nabc\nx: y\n`,
  },
  {
    what: "a length as a trailer",
    fields: POST,
    body: "abc",
    trailers: ["content-length", "3", "x", "y"],
    reaches: `${PLAIN}Transfer-Encoding: chunked\n\nabc\nx: y\n`,
  },
  {
    what: "cookies in pieces",
    fields: [...pseudo({ ":method": "GET" }), "cookie", "a=1", "cookie", "b=2"],
    reaches: "GET / HTTP/1.1\nHost: h\ncookie: a=1; b=2\n\n",
  },
  {
    what: "OPTIONS *",
    fields: pseudo({ ":method": "OPTIONS", ":path": "*" }),
    reaches: "OPTIONS * HTTP/1.1\nHost: h\n\n",
  },
  {
    what: "a Host in place of :authority",
    fields: [":method", "GET", ":scheme", "http", ":path", "/", "host", "h"],
    reaches: "GET / HTTP/1.1\nHost: h\n\n",
  },
  {
    what: "a Host that agrees",
    fields: [...pseudo({ ":method": "GET" }), "host", "H"],
    reaches: "GET / HTTP/1.1\nHost: h\n\n",
  },
  {
    what: "TE: trailers",
    fields: [...pseudo({ ":method": "GET" }), "te", "trailers"],
    reaches: "GET / HTTP/1.1\nHost: h\nte: trailers\nConnection: TE\n\n",
  },
  {
    what: "underscores",
    fields: [...pseudo({ ":method": "GET" }), "content_length", "5"],
    reaches: "GET / HTTP/1.1\nHost: h\ncontent_length: 5\n\n",
  },
  {
    what: "obs-text in a value",
    fields: [...pseudo({ ":method": "GET" }), "x", "\xe5\x98\x8a"],
    reaches: "GET / HTTP/1.1\nHost: h\nx: \xe5\x98\x8a\n\n",
  },
];
