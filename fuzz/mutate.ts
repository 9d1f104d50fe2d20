/** Makes new inputs from old ones. */
import { choose, pick, type Random } from "./random.ts";

/** Mutations of one input, at most. */
const MUTATIONS_MAX = 6;
/** Bytes that are copied, cut out or repeated at a time, at most. */
const PIECE_BYTES_MAX = 64;
/** Bytes that parsers treat in a way of their own. */
const INTERESTING = [0x00, 0x01, 0x09, 0x0a, 0x0d, 0x20, 0x22, 0x2c, 0x30, 0x3a, 0x3b, 0x7f, 0x80, 0xa0, 0xfe, 0xff];

/** @returns an input that differs, more or less, from one of `corpus`, with at most `bytesMax` bytes */
export function mutate(random: Random, corpus: readonly Buffer[], tokens: readonly string[], bytesMax: number): Buffer {
  let input = Buffer.from(choose(random, corpus));
  for (let left = 1 + pick(random, MUTATIONS_MAX); left > 0; left--) {
    input = Buffer.from(once(random, input, corpus, tokens)).subarray(0, bytesMax);
  }
  return input;
}

function once(random: Random, input: Buffer, corpus: readonly Buffer[], tokens: readonly string[]): Buffer {
  const at = pick(random, input.length + 1);
  const length = 1 + pick(random, Math.min(PIECE_BYTES_MAX, Math.max(1, input.length - at)));
  switch (pick(random, 10)) {
    case 0:
      return flip(input, at, 1 << pick(random, 8));
    case 1:
      return replace(input, at, 1, Buffer.from([choose(random, INTERESTING)]));
    case 2:
      return replace(input, at, 0, Buffer.from([pick(random, 256)]));
    case 3:
      return replace(input, at, length, EMPTY);
    case 4:
      return input.subarray(0, at);
    case 5:
      return replace(input, at, 0, input.subarray(at, at + length));
    case 6: {
      const other = choose(random, corpus);
      return Buffer.concat([input.subarray(0, at), other.subarray(pick(random, other.length + 1))]);
    }
    case 7:
      return replace(input, at, length, Buffer.from(choose(random, tokens), "latin1"));
    case 8:
      return number(random, input, at);
    default:
      return replace(input, at, 0, Buffer.from(choose(random, tokens), "latin1"));
  }
}

const EMPTY = Buffer.alloc(0);

function replace(input: Buffer, at: number, removed: number, inserted: Buffer): Buffer {
  return Buffer.concat([input.subarray(0, at), inserted, input.subarray(at + removed)]);
}

function flip(input: Buffer, at: number, bits: number): Buffer {
  const flipped = Buffer.from(input);
  if (at < flipped.length) flipped[at] = (flipped[at] as number) ^ bits;
  return flipped;
}

/** Lengths, sizes and counts: a byte a little larger or smaller, or several at once at their limit. */
function number(random: Random, input: Buffer, at: number): Buffer {
  if (at >= input.length) return input;
  if (random() < 0.3) return replace(input, at, 3, Buffer.from(choose(random, LIMITS)));
  const changed = Buffer.from(input);
  changed[at] = (changed[at] as number) + pick(random, 17) - 8;
  return changed;
}

const LIMITS = [
  [0, 0, 0],
  [0, 0x40, 0],
  [0, 0x3f, 0xff],
  [0x7f, 0xff, 0xff],
  [0xff, 0xff, 0xff],
];
