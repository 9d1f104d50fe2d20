const TABLE = `
:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate
`;

/** The static table (RFC 7541 appendix A): fields 1 to 61, as [name, value] by turns. */
export const STATIC_FIELDS: readonly string[] = TABLE.trim()
  .split("\n")
  .flatMap((line) => {
    const blank = line.indexOf(" ");
    return blank < 0 ? [line, ""] : [line.slice(0, blank), line.slice(blank + 1)];
  });

/** Fields in the static table; the dynamic table begins after them. */
export const STATIC_COUNT = STATIC_FIELDS.length / 2;

/** The first index of each name of the static table. */
export const STATIC_NAME_INDEX: ReadonlyMap<string, number> = new Map(
  Array.from({ length: STATIC_COUNT }, (_, i): [string, number] => [
    STATIC_FIELDS[2 * (STATIC_COUNT - 1 - i)] as string,
    STATIC_COUNT - i,
  ]),
);
