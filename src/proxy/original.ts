/**
 * HTTP/1 carried in HTTP/2 between two sidecars, and given back as it was: version, case and order of field names, and
 * the place of Host. HTTP/2 has lower-case names only (RFC 9113 §8.2), so the names as they were travel in one field.
 *
 *   heddle-orig-proto: 1.1            the version; for an answer also a reason phrase that is not the usual one
 *   heddle-orig-names: Host,Accept    left out when all names are lower case and Host comes first
 *
 * A request for an upgrade becomes an extended CONNECT (RFC 8441), which has no method, one word for the protocol, and no
 * way to answer 2xx without a tunnel:
 *
 *   heddle-orig-method: POST
 *   heddle-orig-upgrade: WebSocket    the Upgrade field, of the request and of the answer that grants it
 *   heddle-orig-status: 200           of an answer that grants nothing, when it is a 2xx
 *
 * Linkerd does the same with `l5d-orig-proto` and loses the case.
 */
import type { HeaderList, HttpVersion, RequestHead, ResponseHead } from "../protocol/exchange.ts";
import { removeHeader } from "../protocol/headers.ts";
import { usualReason } from "../protocol/http1/status-lines.ts";

const PROTO = "heddle-orig-proto";
const NAMES = "heddle-orig-names";
const METHOD = "heddle-orig-method";
const UPGRADE = "heddle-orig-upgrade";
const STATUS = "heddle-orig-status";

/** What carries a 2xx that grants nothing: any status above would do, and 4xx is nobody's failure. */
const CARRIER_STATUS = 421;

/** The word in place of an Upgrade field that is more than one token. */
const SOME_UPGRADE = "upgrade";
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** The same request, fit for HTTP/2, with what is needed to undo it. */
export function packRequest(head: RequestHead): RequestHead {
  const names = namesOf(head.headers, true);
  const headers = head.headers.slice();
  headers.push(PROTO, head.version);
  if (names !== "") headers.push(NAMES, names);
  const { method, upgrade } = head;
  if (upgrade !== "") headers.push(METHOD, method, UPGRADE, upgrade);
  return {
    method: upgrade === "" ? method : "GET",
    scheme: head.scheme,
    authority: head.authority,
    path: head.path,
    headers,
    version: "2",
    upgrade: upgrade === "" ? "" : TOKEN.test(upgrade) ? upgrade.toLowerCase() : SOME_UPGRADE,
  };
}

/** Undoes {@link packRequest}. A request that never was HTTP/1 comes back as it is. */
export function unpackRequest(head: RequestHead): RequestHead {
  let { method, upgrade } = head;
  // A CONNECT is never packed.
  if (method === "CONNECT") return head;
  const taken = take(head.headers);
  if (taken === undefined || (taken.proto !== "1.1" && taken.proto !== "1.0")) return head;
  if (upgrade !== "") {
    method = takeField(taken.headers, METHOD) ?? method;
    upgrade = takeField(taken.headers, UPGRADE) ?? upgrade;
    // Nothing but a CONNECT means one, whatever is said here.
    if (method === "CONNECT" || !TOKEN.test(method) || upgrade === "") return head;
  }
  return {
    method,
    scheme: head.scheme,
    authority: head.authority,
    path: head.path,
    headers: restore(taken.headers, taken.names, head.authority),
    version: taken.proto satisfies HttpVersion,
    upgrade,
  };
}

/** The answer to a request that came packed. @param asked the request asked for an upgrade */
export function packResponse(head: ResponseHead, asked: boolean): ResponseHead {
  const names = namesOf(head.headers, false);
  const usual = head.reason === "" || head.reason === usualReason(head.status);
  if (usual && names === "" && !asked) return head;
  const headers = head.headers.slice();
  headers.push(PROTO, usual ? "1.1" : `1.1 ${head.reason}`);
  if (names !== "") headers.push(NAMES, names);
  let { status } = head;
  if (head.upgrade !== "") {
    headers.push(UPGRADE, head.upgrade);
  } else if (asked && status >= 200 && status <= 299) {
    headers.push(STATUS, String(status));
    status = CARRIER_STATUS;
  }
  return { status, reason: head.reason, headers, upgrade: head.upgrade };
}

/** Undoes {@link packResponse}. */
export function unpackResponse(head: ResponseHead, asked: boolean): ResponseHead {
  const taken = take(head.headers);
  if (taken === undefined) return head;
  let { status, upgrade } = head;
  if (asked) {
    if (upgrade !== "") upgrade = takeField(taken.headers, UPGRADE) ?? upgrade;
    else if (status === CARRIER_STATUS) status = successOf(takeField(taken.headers, STATUS)) ?? status;
  }
  return {
    status,
    reason: taken.proto.slice(4),
    headers: restore(taken.headers, taken.names, ""),
    upgrade,
  };
}

function successOf(text: string | undefined): number | undefined {
  return text !== undefined && /^2[0-9][0-9]$/.test(text) ? Number(text) : undefined;
}

/** Takes a field out, in place. @returns its last value: what came before is not from the sidecar */
function takeField(headers: HeaderList, name: string): string | undefined {
  const at = headers.findLastIndex((text, i) => i % 2 === 0 && text === name);
  if (at < 0) return undefined;
  const value = headers[at + 1];
  removeHeader(headers, name);
  return value;
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
