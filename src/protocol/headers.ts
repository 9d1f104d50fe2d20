/** Work on header lists: flat, in order, with few entries, so a scan beats a map. */
import type { HeaderList } from "./exchange.ts";

/**
 * Compares a field name as received with a lower-case one, without making a string when the case already fits or the
 * first letter does not.
 */
export function nameEquals(name: string, lowerCaseName: string): boolean {
  return (
    name.length === lowerCaseName.length &&
    (name === lowerCaseName ||
      ((name.charCodeAt(0) | 0x20) === lowerCaseName.charCodeAt(0) && name.toLowerCase() === lowerCaseName))
  );
}

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
