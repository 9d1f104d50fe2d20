/**
 * The fields by which sidecars talk to each other. From anybody else they are no orders: they are taken out where a
 * message comes into the mesh, so that nobody can pose as a sidecar through one.
 */
import type { HeaderList } from "../protocol/exchange.ts";

/** The far sidecar's word that its application has not seen the request. */
export const UNPROCESSED_HEADER = "heddle-unprocessed";

/** How the names of those begin that say what HTTP/1 was packed in HTTP/2: see `original.ts`. */
const ORIGINAL = "heddle-orig-";

const H = 0x68;

/** Takes them out, in any case of letters, in place. */
export function dropOwnFields(headers: HeaderList): void {
  let kept = 0;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    if (isOwn(name)) continue;
    if (kept !== i) {
      headers[kept] = name;
      headers[kept + 1] = headers[i + 1] as string;
    }
    kept += 2;
  }
  if (kept < headers.length) headers.length = kept;
}

function isOwn(name: string): boolean {
  // The first letter and the length tell all usual fields apart.
  if ((name.charCodeAt(0) | 0x20) !== H || name.length < ORIGINAL.length) return false;
  const lower = name.toLowerCase();
  return lower.startsWith(ORIGINAL) || lower === UNPROCESSED_HEADER;
}
