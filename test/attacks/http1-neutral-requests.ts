/**
 * Requests that are odd, or hide something, and yet have one meaning only: exactly that meaning reaches the back end, and
 * nothing of what was hidden becomes a request or an order to a sidecar.
 */
import { defaultHttpLimits } from "../../src/protocol/limits.ts";
import { METHOD_BYTES_MAX } from "../../src/protocol/http1/request-reader.ts";

export interface NeutralRequest {
  readonly what: string;
  readonly input: string;
  /** What reaches the back end: start line, fields as written, an empty line, the body without chunks, then trailers. */
  readonly reaches: readonly string[];
  /** On the listener that routes by Host: the status that the first request gets, because its authority is no service. */
  readonly byHost?: number;
}

const HOST = "Host: h\r\n";
const GET = `GET / HTTP/1.1\r\n${HOST}`;
const POST = `POST / HTTP/1.1\r\n${HOST}`;
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n\r\n`;
const SMUGGLED = `GET /smuggled HTTP/1.1\r\n${HOST}\r\n`;
/** A plain GET, as it arrives. */
const PLAIN = "GET / HTTP/1.1\nHost: h\n\n";
const CHUNKED_ABC = "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\nabc";
const { headerCount, startLineBytes } = defaultHttpLimits;

/** A body of this text, framed by its length. @returns what is sent and what arrives */
function withLength(method: string, body: string): Pick<NeutralRequest, "input" | "reaches"> {
  return {
    input: `${method} / HTTP/1.1\r\n${HOST}Content-Length: ${body.length}\r\n\r\n${body}`,
    reaches: [`${method} / HTTP/1.1\nHost: h\nContent-Length: ${body.length}\n\n${body}`],
  };
}

/** A GET with these fields behind Host, of which these are left. */
function fields(what: string, sent: string, left: string): NeutralRequest {
  return { what, input: `${GET}${sent}\r\n`, reaches: [`GET / HTTP/1.1\nHost: h\n${left}\n`] };
}

function target(what: string, written: string, arrives = written): NeutralRequest {
  return { what, input: `GET ${written} HTTP/1.1\r\n${HOST}\r\n`, reaches: [`GET ${arrives} HTTP/1.1\nHost: h\n\n`] };
}

/** What is hidden in a body stays there. */
const hidden: readonly NeutralRequest[] = [
  { what: "a request as the body of a POST", ...withLength("POST", SMUGGLED) },
  { what: "a request as the body of a GET", ...withLength("GET", SMUGGLED) },
  { what: "a request as the body of an OPTIONS", ...withLength("OPTIONS", SMUGGLED) },
  { what: "a request as the body of a DELETE", ...withLength("DELETE", SMUGGLED) },
  { what: "the end of a chunked body as a body", ...withLength("POST", `0\r\n\r\n${SMUGGLED}`) },
  { what: "a preface of HTTP/2 as a body", ...withLength("POST", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") },
  {
    what: "a request as a chunk",
    input: `${CHUNKED}${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`,
    reaches: [`POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n${SMUGGLED}`],
  },
  {
    what: "the last chunk as a chunk",
    input: `${CHUNKED}5\r\n0\r\n\r\n\r\n0\r\n\r\n`,
    reaches: ["POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n0\r\n\r\n"],
  },
  fields("a request as a value", "X: GET /smuggled HTTP/1.1\r\n", "X: GET /smuggled HTTP/1.1\n"),
  fields("escaped line ends in a value", "X: a\\r\\nY: b%0d%0aZ: c\r\n", "X: a\\r\\nY: b%0d%0aZ: c\n"),
  fields("obs-text in a value", "X: \xe5\x98\x8d\xe5\x98\x8a\r\n", "X: \xe5\x98\x8d\xe5\x98\x8a\n"),
  target("escaped line ends in the target", "/%0d%0aX:%20y%0d%0a"),
  target("an escaped NUL in the target", "/a%00b"),
  {
    what: "a request behind Connection: close",
    input: `${GET}Connection: close\r\n\r\n${SMUGGLED}`,
    reaches: [PLAIN],
  },
  { what: "a request behind HTTP/1.0", input: `GET / HTTP/1.0\r\n${HOST}\r\n${SMUGGLED}`, reaches: [PLAIN] },
  {
    what: "a request behind HTTP/1.0 that wants to keep alive and to close",
    input: `GET / HTTP/1.0\r\n${HOST}Connection: keep-alive, close\r\n\r\n${SMUGGLED}`,
    reaches: [PLAIN],
  },
];

/** Framing that is written oddly and means one thing. */
const framing: readonly NeutralRequest[] = [
  {
    what: "a length with leading zeros",
    input: `${POST}Content-Length: 0003\r\n\r\nabc`,
    reaches: ["POST / HTTP/1.1\nHost: h\nContent-Length: 0003\n\nabc"],
  },
  { what: "a length of nothing", ...withLength("POST", "") },
  { what: "a POST without length", input: `${POST}\r\n`, reaches: ["POST / HTTP/1.1\nHost: h\nContent-Length: 0\n\n"] },
  {
    what: "a length without space",
    input: `${POST}Content-Length:3\r\n\r\nabc`,
    reaches: ["POST / HTTP/1.1\nHost: h\nContent-Length: 3\n\nabc"],
  },
  {
    what: "a length among tabs",
    input: `${POST}Content-Length:\t 3 \t\r\n\r\nabc`,
    reaches: ["POST / HTTP/1.1\nHost: h\nContent-Length: 3\n\nabc"],
  },
  {
    what: "a length named in upper case",
    input: `${POST}CONTENT-LENGTH: 3\r\n\r\nabc`,
    reaches: ["POST / HTTP/1.1\nHost: h\nCONTENT-LENGTH: 3\n\nabc"],
  },
  {
    what: "a length with an underscore in its name",
    input: `${GET}Content_Length: 36\r\n\r\n`,
    reaches: ["GET / HTTP/1.1\nHost: h\nContent_Length: 36\n\n"],
  },
  {
    what: "a coding with an underscore in its name",
    input: `${GET}Transfer_Encoding: chunked\r\n\r\n`,
    reaches: ["GET / HTTP/1.1\nHost: h\nTransfer_Encoding: chunked\n\n"],
  },
  {
    what: "a coding under another name",
    input: `${GET}X-Transfer-Encoding: chunked\r\n\r\n`,
    reaches: ["GET / HTTP/1.1\nHost: h\nX-Transfer-Encoding: chunked\n\n"],
  },
  {
    what: "chunked in mixed case",
    input: `${POST}Transfer-Encoding: cHuNkEd\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
    reaches: [CHUNKED_ABC],
  },
  {
    what: "chunked among tabs",
    input: `${POST}Transfer-Encoding:\t chunked\t \r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
    reaches: [CHUNKED_ABC],
  },
  {
    what: "chunked named in mixed case",
    input: `${POST}tRANSFER-eNCODING: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
    reaches: [CHUNKED_ABC],
  },
  {
    what: "chunked and Connection: transfer-encoding",
    input: `${POST}Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
    reaches: [CHUNKED_ABC],
  },
  {
    what: "a chunked GET",
    input: `${GET}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
    reaches: ["GET / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\nabc"],
  },
  { what: "chunks of one byte", input: `${CHUNKED}1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n`, reaches: [CHUNKED_ABC] },
  {
    what: "a chunk size in upper case",
    input: `${CHUNKED}A\r\n0123456789\r\n0\r\n\r\n`,
    reaches: ["POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n0123456789"],
  },
  {
    what: "a chunk size with leading zeros",
    input: `${CHUNKED}00000003\r\nabc\r\n000\r\n\r\n`,
    reaches: [CHUNKED_ABC],
  },
  {
    what: "chunk extensions",
    input: `${CHUNKED}3;a=b; c ="d;\\" e";f\r\nabc\r\n0;last\r\n\r\n`,
    reaches: [CHUNKED_ABC],
  },
  {
    what: "a chunk extension that looks like a size",
    input: `${CHUNKED}3;ffff\r\nabc\r\n0\r\n\r\n`,
    reaches: [CHUNKED_ABC],
  },
  {
    what: "trailers",
    input: `${CHUNKED}3\r\nabc\r\n0\r\nx-t: u\r\nx-v:\tw \r\n\r\n`,
    reaches: [`${CHUNKED_ABC}\nx-t: u\nx-v: w\n`],
  },
  {
    what: "trailers that would frame or route",
    input: `${CHUNKED}3\r\nabc\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: gzip\r\nHost: i\r\nConnection: close\r\nTE: x\r\nUpgrade: h2c\r\nTrailer: y\r\nx: y\r\n\r\n`,
    reaches: [`${CHUNKED_ABC}\nx: y\n`],
  },
  {
    what: "trailers that are all dropped",
    input: `${CHUNKED}3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n`,
    reaches: [CHUNKED_ABC],
  },
  {
    what: "an empty chunked body",
    input: `${CHUNKED}0\r\n\r\n`,
    reaches: ["POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n"],
  },
];

/** Several requests on one connection. */
const pipelined: readonly NeutralRequest[] = [
  {
    what: "three requests at once",
    input: [1, 2, 3].map((n) => `GET /${n} HTTP/1.1\r\n${HOST}\r\n`).join(""),
    reaches: [1, 2, 3].map((n) => `GET /${n} HTTP/1.1\nHost: h\n\n`),
  },
  {
    what: "requests of all framings at once",
    input: `${CHUNKED}3\r\nabc\r\n0\r\n\r\n${withLength("PUT", "xyz").input}HEAD / HTTP/1.1\r\n${HOST}\r\n${CHUNKED}0\r\nt: u\r\n\r\n${GET}\r\n`,
    reaches: [
      CHUNKED_ABC,
      ...withLength("PUT", "xyz").reaches,
      "HEAD / HTTP/1.1\nHost: h\n\n",
      "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n\nt: u\n",
      PLAIN,
    ],
  },
  {
    what: "two requests in HTTP/1.0, kept alive",
    input: `GET /1 HTTP/1.0\r\n${HOST}Connection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\n${HOST}\r\n`,
    reaches: ["GET /1 HTTP/1.1\nHost: h\n\n", "GET /2 HTTP/1.1\nHost: h\n\n"],
  },
  { what: "an empty line before a request", input: `\r\n${GET}\r\n`, reaches: [PLAIN] },
  {
    what: "empty lines between requests",
    input: `${GET}\r\n\r\n${withLength("POST", "abc").input}\r\n${GET}\r\n`,
    reaches: [PLAIN, ...withLength("POST", "abc").reaches, PLAIN],
  },
];

/** Methods and targets. */
const targets: readonly NeutralRequest[] = [
  ...["get", "TRACE", "M-SEARCH", "X!#$%&'*+-.^_`|~9", "A".repeat(METHOD_BYTES_MAX)].map((method) => ({
    what: `the method ${method}`,
    input: `${method} / HTTP/1.1\r\n${HOST}\r\n`,
    reaches: [`${method} / HTTP/1.1\nHost: h\n\n`],
  })),
  { what: "OPTIONS *", input: `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`, reaches: ["OPTIONS * HTTP/1.1\nHost: h\n\n"] },
  {
    what: "OPTIONS of a whole host in absolute form",
    input: `OPTIONS http://h HTTP/1.1\r\n${HOST}\r\n`,
    reaches: ["OPTIONS * HTTP/1.1\nHost: h\n\n"],
  },
  target("two slashes", "//i/a"),
  target("dots", "/a/../../etc/./passwd"),
  target("escaped dots and slashes", "/a/%2e%2e%2f%2E%2E%5cb"),
  target("a semicolon segment", "/..;/admin"),
  target("a backslash", "/a\\..\\b"),
  target("quotes, braces and bars", '/"a"/{b}|<c>^`d`'),
  target("a colon and an at sign", "/a@i:80"),
  target("two question marks", "/a?b?c=http://i/"),
  target("an absolute form in the path", "/http://i/"),
  target("the longest target", `/${"a".repeat(startLineBytes - 15)}`),
  target("absolute form", "http://h/a?b", "/a?b"),
  target("absolute form in upper case", "HTTP://h/a", "/a"),
  target("absolute form without path", "http://h", "/"),
  target("absolute form with a query and no path", "http://h?a=/", "/?a=/"),
  target("absolute form with https", "https://h/a", "/a"),
  {
    what: "absolute form that corrects Host",
    input: "GET http://h/a HTTP/1.1\r\nX: y\r\nHost: i\r\n\r\n",
    reaches: ["GET /a HTTP/1.1\nX: y\nHost: h\n\n"],
  },
  {
    what: "absolute form that leads elsewhere",
    input: `GET http://i/a HTTP/1.1\r\n${HOST}\r\n`,
    reaches: ["GET /a HTTP/1.1\nHost: i\n\n"],
    byHost: 404,
  },
  {
    what: "absolute form in HTTP/1.0 without Host",
    input: "GET http://h/a HTTP/1.0\r\n\r\n",
    reaches: ["GET /a HTTP/1.1\nHost: h\n\n"],
  },
  {
    what: "an empty Host",
    input: "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    reaches: ["GET / HTTP/1.1\nHost: \n\n"],
    byHost: 404,
  },
  {
    what: "HTTP/1.0 without Host",
    input: "GET / HTTP/1.0\r\n\r\n",
    reaches: ["GET / HTTP/1.1\nHost: \n\n"],
    byHost: 404,
  },
  {
    what: "a Host with an empty port",
    input: "GET / HTTP/1.1\r\nHost: h:\r\n\r\n",
    reaches: ["GET / HTTP/1.1\nHost: h:\n\n"],
    byHost: 404,
  },
  {
    what: "a Host with another port",
    input: "GET / HTTP/1.1\r\nHost: h:65535\r\n\r\n",
    reaches: ["GET / HTTP/1.1\nHost: h:65535\n\n"],
    byHost: 404,
  },
  {
    what: "a Host in upper case",
    input: "GET / HTTP/1.1\r\nHost: H\r\n\r\n",
    reaches: ["GET / HTTP/1.1\nHost: H\n\n"],
  },
  {
    what: "an IPv6 Host",
    input: "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    reaches: ["GET / HTTP/1.1\nHost: [::1]:80\n\n"],
    byHost: 404,
  },
];

/** What belongs to the hop, and what only pretends to. */
const hop: readonly NeutralRequest[] = [
  fields(
    "names in any case and order",
    "accept: */*\r\nX-B: 1\r\nx-a: 2\r\nX-B: 3\r\nUSER-AGENT: z\r\n",
    "accept: */*\nX-B: 1\nx-a: 2\nX-B: 3\nUSER-AGENT: z\n",
  ),
  {
    what: "Host behind other fields",
    input: `GET / HTTP/1.1\r\nA: 1\r\nhOST: h\r\nB: 2\r\n\r\n`,
    reaches: ["GET / HTTP/1.1\nA: 1\nhOST: h\nB: 2\n\n"],
  },
  {
    what: "lower-case names with host last",
    input: `GET / HTTP/1.1\r\na: 1\r\nhost: h\r\n\r\n`,
    reaches: ["GET / HTTP/1.1\na: 1\nhost: h\n\n"],
  },
  fields("blanks around a value", "X: \t a  b\t \r\nY:\r\n", "X: a  b\nY: \n"),
  fields("as many fields as may be", "X: a\r\n".repeat(headerCount - 1), "X: a\n".repeat(headerCount - 1)),
  fields(
    "hop-by-hop fields",
    "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nConnection: keep-alive\r\nX: y\r\n",
    "X: y\n",
  ),
  fields("a field that Connection names", "Connection: X-Hop, x-other\r\nX-Hop: 1\r\nX-Other: 2\r\nX: y\r\n", "X: y\n"),
  fields(
    "a field that a later Connection names",
    "X-Hop: 1\r\nX: y\r\nConnection: keep-alive\r\nConnection: x-hop\r\n",
    "X: y\n",
  ),
  fields("Connection: Host", "Connection: host\r\nX: y\r\n", "X: y\n"),
  fields("Connection: Host, and a field before it", "X: y\r\nConnection: x, host\r\n", ""),
  {
    what: "Connection: Content-Length",
    input: `${POST}Connection: Content-Length\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
    reaches: [`POST / HTTP/1.1\nHost: h\nContent-Length: ${SMUGGLED.length}\n\n${SMUGGLED}`],
  },
  fields(
    "Connection: Authorization, as RFC 9110 has it",
    "Connection: Authorization\r\nAuthorization: x\r\nX: y\r\n",
    "X: y\n",
  ),
  fields("Connection: with commas and blanks", "Connection: , ,keep-alive ,\t,\r\nX: y\r\n", "X: y\n"),
  fields("TE: trailers", "TE: trailers\r\nX: y\r\n", "TE: trailers\nX: y\nConnection: TE\n"),
  fields("TE: gzip, trailers", "TE: gzip;q=0.5, Trailers\r\nX: y\r\n", "TE: trailers\nX: y\nConnection: TE\n"),
  fields("TE: chunked", "TE: chunked\r\nX: y\r\n", "X: y\n"),
  fields(
    "Upgrade: h2c",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
    "",
  ),
  fields("Upgrade: h2c without Connection", "Upgrade: h2c\r\nX: y\r\n", "X: y\n"),
  fields("Upgrade: H2C, h2c", "Connection: upgrade\r\nUpgrade: H2C, h2c\r\n", ""),
  fields(
    "Upgrade: h2c among others",
    "Connection: Upgrade\r\nUpgrade: websocket,h2c, x\r\n",
    "Connection: Upgrade\nUpgrade: websocket, x\n",
  ),
  fields("Upgrade: h2c in two fields", "Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: h2c\r\n", ""),
  {
    what: "Upgrade with a body",
    input: `${POST}Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc`,
    reaches: ["POST / HTTP/1.1\nHost: h\nContent-Length: 3\n\nabc"],
  },
  {
    what: "Upgrade in HTTP/1.0",
    input: `GET / HTTP/1.0\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    reaches: [PLAIN],
  },
  {
    what: "Expect: 100-continue from a client that does not wait",
    input: `${POST}Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc`,
    reaches: ["POST / HTTP/1.1\nHost: h\nExpect: 100-continue\nContent-Length: 3\n\nabc"],
  },
  fields("Expect: 100-continue without a body", "Expect: 100-continue\r\n", "Expect: 100-continue\n"),
  fields(
    "an expectation that nobody knows",
    "Expect: 200-maybe\r\nExpect: 100-CONTINUE, x\r\n",
    "Expect: 200-maybe\nExpect: 100-CONTINUE, x\n",
  ),
];

/** Fields by which sidecars talk to each other: from outside they are no orders, and go no further. */
const posing: readonly NeutralRequest[] = [
  fields("heddle-orig-proto", "heddle-orig-proto: 1.0\r\nX: y\r\n", "X: y\n"),
  fields("heddle-orig-names", "heddle-orig-names: Host,Host,Content-Length\r\nX: y\r\n", "X: y\n"),
  fields("heddle-orig-* in mixed case", "Heddle-Orig-Proto: 2\r\nHEDDLE-ORIG-NAMES: X\r\nX: y\r\n", "X: y\n"),
  {
    what: "heddle-orig-names where all names are lower case",
    input: "GET / HTTP/1.1\r\nhost: h\r\nx: y\r\nheddle-orig-names: X,Host\r\n\r\n",
    reaches: ["GET / HTTP/1.1\nhost: h\nx: y\n\n"],
  },
  {
    what: "heddle-orig-proto where all names are lower case",
    input: "GET / HTTP/1.1\r\nhost: h\r\nheddle-orig-proto: 1.1\r\nx: y\r\n\r\n",
    reaches: ["GET / HTTP/1.1\nhost: h\nx: y\n\n"],
  },
  fields("heddle-orig-* named by Connection", "Connection: heddle-orig-proto, heddle-orig-names\r\nX: y\r\n", "X: y\n"),
  fields(
    "heddle-orig-* of an upgrade",
    "heddle-orig-method: CONNECT\r\nheddle-orig-upgrade: h2c\r\nheddle-orig-status: 200\r\nX: y\r\n",
    "X: y\n",
  ),
  fields("heddle-unprocessed", "heddle-unprocessed: 1\r\nX: y\r\n", "X: y\n"),
];

export const neutralRequests: readonly NeutralRequest[] = [
  ...hidden,
  ...framing,
  ...pipelined,
  ...targets,
  ...hop,
  ...posing,
];
