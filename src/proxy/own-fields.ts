/**
 * The fields by which sidecars talk to each other. From anybody else they are no orders: they are taken out where a
 * message comes into the mesh, so that nobody can pose as a sidecar through one.
 */
import type { HeaderList } from "../protocol/exchange.ts";
import { nameEquals, removeHeader } from "../protocol/headers.ts";

/** What HTTP/1 was packed in HTTP/2: see `original.ts`. */
export const PROTO_HEADER = "heddle-orig-proto";
export const NAMES_HEADER = "heddle-orig-names";

/** The far sidecar's word that its application has not seen the request. */
export const UNPROCESSED_HEADER = "heddle-unprocessed";

const OWN = [PROTO_HEADER, NAMES_HEADER, UNPROCESSED_HEADER];

/** Takes them out, in any case of letters, in place. */
export function dropOwnFields(headers: HeaderList): void {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    // Their length tells them from nearly all others.
    if (name.length !== PROTO_HEADER.length && name.length !== UNPROCESSED_HEADER.length) continue;
    if (!OWN.some((own) => nameEquals(name, own))) continue;
    for (const own of OWN) removeHeader(headers, own);
    return;
  }
}
