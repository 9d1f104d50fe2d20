/**
 * The fields by which sidecars talk to each other. From anybody else they are no orders: they are taken out where a
 * message comes into the mesh, so that nobody can pose as a sidecar through one.
 */
import type { HeaderList } from "../protocol/exchange.ts";
import { nameEquals, removeHeader } from "../protocol/headers.ts";
import { UNPROCESSED_HEADER } from "./dispatch.ts";
import { NAMES, PROTO } from "./original.ts";

const OWN = [PROTO, NAMES, UNPROCESSED_HEADER];

/** Takes them out, in any case of letters, in place. */
export function dropOwnFields(headers: HeaderList): void {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    // Their length tells them from nearly all others.
    if (name.length !== PROTO.length && name.length !== UNPROCESSED_HEADER.length) continue;
    if (!OWN.some((own) => nameEquals(name, own))) continue;
    for (const own of OWN) removeHeader(headers, own);
    return;
  }
}
