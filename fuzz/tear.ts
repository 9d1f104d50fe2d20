/** Ways to cut an input: whole, at places that depend on it alone, and byte by byte while it is short. */
import { seeded } from "./random.ts";

/** Above this many bytes an input is not cut into single ones. */
const SINGLE_BYTES_MAX = 400;

export function tearings(input: Buffer): Buffer[][] {
  let hash = input.length;
  for (const byte of input) hash = (Math.imul(hash, 31) + byte) | 0;
  const random = seeded(hash);
  const largest = 1 + Math.floor(random() * 40);
  const pieces: Buffer[] = [];
  for (let at = 0; at < input.length;) {
    const size = 1 + Math.floor(random() * largest);
    pieces.push(input.subarray(at, at + size));
    at += size;
  }
  const ways = [pieces];
  if (input.length <= SINGLE_BYTES_MAX) ways.push(Array.from(input, (_, i) => input.subarray(i, i + 1)));
  return ways;
}
