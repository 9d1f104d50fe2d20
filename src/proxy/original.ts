/**
 * HTTP/1 carried in HTTP/2 between two sidecars, and given back as it was: version, case and order of field names, and
 * the place of Host. HTTP/2 has lower-case names only (RFC 9113 §8.2), so the names as they were travel in one field.
 *
 *   heddle-orig-proto: 1.1            the version; for an answer also a reason phrase that is not the usual one
 *   heddle-orig-names: Host,Accept    left out when all names are lower case and Host comes first
 *
 * Linkerd does the same with `l5d-orig-proto` and loses the case.
 */
import type { HeaderList, HttpVersion, RequestHead, ResponseHead } from "../protocol/exchange.ts";
import { usualReason } from "../protocol/http1/status-lines.ts";

const PROTO = "heddle-orig-proto";
const NAMES = "heddle-orig-names";

/** The same request, fit for HTTP/2, with what is needed to undo it. */
export function packRequest(head: RequestHead): RequestHead {
  const names = namesOf(head.headers, true);
  const headers = head.headers.slice();
  headers.push(PROTO, head.version);
  if (names !== "") headers.push(NAMES, names);
  return {
    method: head.method,
    scheme: head.scheme,
    authority: head.authority,
    path: head.path,
    headers,
    version: "2",
    upgrade: "",
  };
}

/** Undoes {@link packRequest}. A request that never was HTTP/1 comes back as it is. */
export function unpackRequest(head: RequestHead): RequestHead {
  const taken = take(head.headers);
  if (taken === undefined || (taken.proto !== "1.1" && taken.proto !== "1.0")) return head;
  return {
    method: head.method,
    scheme: head.scheme,
    authority: head.authority,
    path: head.path,
    headers: restore(taken.headers, taken.names, head.authority),
    version: taken.proto satisfies HttpVersion,
    upgrade: "",
  };
}

/** The answer to a request that came packed. */
export function packResponse(head: ResponseHead): ResponseHead {
  const names = namesOf(head.headers, false);
  const usual = head.reason === "" || head.reason === usualReason(head.status);
  if (usual && names === "") return head;
  const headers = head.headers.slice();
  headers.push(PROTO, usual ? "1.1" : `1.1 ${head.reason}`);
  if (names !== "") headers.push(NAMES, names);
  return { status: head.status, reason: head.reason, headers, upgrade: "" };
}

/** Undoes {@link packResponse}. */
export function unpackResponse(head: ResponseHead): ResponseHead {
  const taken = take(head.headers);
  if (taken === undefined) return head;
  return {
    status: head.status,
    reason: taken.proto.slice(4),
    headers: restore(taken.headers, taken.names, ""),
    upgrade: "",
  };
}

/** The names joined, or "" if lower case (and Host first) says it all. */
function namesOf(headers: HeaderList, request: boolean): string {
  let special = false;
  let names = "";
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    special ||= name !== name.toLowerCase() || (request && name === "host" && i > 0);
    names = i === 0 ? name : `${names},${name}`;
  }
  // A request without Host (HTTP/1.0) must not be given one.
  if (request && !special && headers[0] !== "host") return names === "" ? "," : names;
  return special ? names : "";
}

interface Taken {
  readonly proto: string;
  readonly names: string;
  readonly headers: HeaderList;
}

function take(headers: HeaderList): Taken | undefined {
  let proto: string | undefined;
  let names = "";
  const rest: HeaderList = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    const value = headers[i + 1] as string;
    if (name === PROTO) proto = value;
    else if (name === NAMES) names = value;
    else rest.push(name, value);
  }
  return proto === undefined ? undefined : { proto, names, headers: rest };
}

function restore(headers: HeaderList, names: string, authority: string): HeaderList {
  if (names === "") return authority === "" ? headers : ["host", authority, ...headers];
  const restored: HeaderList = [];
  let from = 0;
  for (const name of names.split(",")) {
    const lower = name.toLowerCase();
    if (lower === "host" && authority !== "") {
      restored.push(name, authority);
    } else if (headers[from] === lower) {
      restored.push(name, headers[from + 1] as string);
      from += 2;
    }
  }
  // Whatever was added on the way keeps its HTTP/2 form.
  for (; from < headers.length; from += 2) restored.push(headers[from] as string, headers[from + 1] as string);
  return restored;
}
