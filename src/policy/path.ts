/**
 * A request's path as rules see it. The application gets the path as it was written, and whether it makes "/admin" of
 * "//admin", "/a/../admin", "/%61dmin", "/admin;v=1" or "/x%2f..%2fadmin" is not known here. So a path that can be read
 * in more than one way is looked at in all of them: a rule that refuses holds if it does for any, a rule that allows
 * holds if it does for all.
 *
 *   as sent    percent-encoding undone, but for an encoded slash or backslash
 *   resolved   percent-encoding undone, "\" made "/", path parameters (";…") cut off, "//" made "/", "." and ".." resolved;
 *              with and without a slash at the end where one of these two ended it
 *
 * What could be read in yet another way is in doubt (undefined): then every rule that refuses by path holds, and none that
 * allows by path does. That is a control character or NUL, a "#", an encoding that is none or of an encoding, and more than
 * one kind of what makes a path odd (dot segments, encoded dot segments, empty segments, parameters, backslashes, encoded
 * slashes), for then it matters what is undone first: "/admin;\" is "/admin" where parameters are cut off before
 * backslashes are made slashes, and "/admin/" where it is done the other way.
 *
 * Istio does the second for what it calls NORMALIZE, MERGE_SLASHES and DECODE_AND_MERGE_SLASHES, and rewrites the request
 * accordingly. Here no request is rewritten.
 */

/** A path without any of it can be read in one way only. */
// oxlint-disable-next-line no-control-regex -- these are what is looked for
const SPECIAL = /[%\\;#\0-\x1f\x7f]|\/\/|\/\.\.?(?:\/|$)/;

// oxlint-disable-next-line no-control-regex -- these are what is looked for
const DOUBTFUL = /[\0-\x1f\x7f]/;

/** Every way to read it; undefined if that is in doubt. @param path in origin form, with or without query */
export function readingsOf(path: string): readonly string[] | undefined {
  const query = path.indexOf("?");
  const plain = query < 0 ? path : path.slice(0, query);
  if (!SPECIAL.test(plain)) return [plain];
  if (/#|%(?![0-9A-Fa-f]{2})|%25[0-9A-Fa-f]{2}/.test(plain)) return undefined;
  const asSent = decodePath(plain);
  if (DOUBTFUL.test(asSent)) return undefined;
  const slashed = asSent.replace(/%2F|%5C|\\/g, "/");
  const segments = slashed.split("/").map((segment) => withoutParameters(segment));
  const writtenDots = plain.split("/").filter(isDots).length;
  const oddities = [
    writtenDots > 0,
    segments.filter(isDots).length > writtenDots,
    segments.some((segment, i) => segment === "" && i > 0 && i < segments.length - 1),
    asSent.includes(";"),
    asSent.includes("\\"),
    /%2F|%5C/.test(asSent),
  ];
  if (oddities.filter((there) => there).length > 1) return undefined;
  const resolved = resolve(segments);
  if (resolved === asSent) return [asSent];
  // RFC 3986 leaves a slash where a dot segment ended the path; others (posix.normalize of Node) do not.
  if (isDots(segments.at(-1) ?? "") && resolved.length > 1) return [asSent, resolved, resolved.slice(0, -1)];
  return [asSent, resolved];
}

/**
 * Undoes percent-encoding, but for slash and backslash, which stay as "%2F" and "%5C". Octets become characters below
 * U+0100. What is no encoding stays. Patterns of paths are read in the same way.
 */
export function decodePath(text: string): string {
  if (!text.includes("%")) return text;
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => {
    const code = Number.parseInt(hex, 16);
    if (code === SLASH || code === BACKSLASH) return `%${hex.toUpperCase()}`;
    return String.fromCharCode(code);
  });
}

const SLASH = 0x2f;
const BACKSLASH = 0x5c;

function isDots(segment: string): boolean {
  return segment === "." || segment === "..";
}

function withoutParameters(segment: string): string {
  const semicolon = segment.indexOf(";");
  return semicolon < 0 ? segment : segment.slice(0, semicolon);
}

/** RFC 3986 §5.2.4, with empty segments left out. */
function resolve(segments: readonly string[]): string {
  const kept: string[] = [];
  let directory = false;
  for (const segment of segments) {
    directory = segment === "" || segment === "." || segment === "..";
    if (segment === "..") kept.pop();
    else if (!directory) kept.push(segment);
  }
  const path = `/${kept.join("/")}`;
  return directory && kept.length > 0 ? `${path}/` : path;
}
