/** Work on header lists: flat, in order, with few entries, so a scan beats a map. */
import type { HeaderList } from "./exchange.ts";

/**
 * Compares a field name as received with a lower-case one, letter by letter: it mostly ends at the first one, and names
 * are slices of a head, for which `===` leaves compiled code.
 */
export function nameEquals(name: string, lowerCaseName: string): boolean {
  const { length } = lowerCaseName;
  if (name.length !== length) return false;
  for (let i = 0; i < length; i++) {
    const code = name.charCodeAt(i);
    if ((code >= UPPER_A && code <= UPPER_Z ? code | 0x20 : code) !== lowerCaseName.charCodeAt(i)) return false;
  }
  return true;
}

const UPPER_A = 0x41;
const UPPER_Z = 0x5a;

/** The first value of a field, or undefined. */
export function getHeader(headers: HeaderList, lowerCaseName: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) {
    if (nameEquals(headers[i] as string, lowerCaseName)) return headers[i + 1];
  }
  return undefined;
}

/** Takes every occurrence of a field out, in place. */
export function removeHeader(headers: HeaderList, lowerCaseName: string): void {
  let kept = 0;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    if (nameEquals(name, lowerCaseName)) continue;
    headers[kept] = name;
    headers[kept + 1] = headers[i + 1] as string;
    kept += 2;
  }
  headers.length = kept;
}
