/**
 * Gathers a head (or trailer section) that arrives in pieces until its empty line is there. Each byte is looked at once,
 * however small the pieces are; wrong line ends are refused on the way, so that they cannot make it wait forever.
 */
import { EMPTY } from "./framing.ts";
import { CR, LF } from "./syntax.ts";

const FIRST_SIZE_BYTES = 1024;

export class HeadBuffer {
  /** The gathered bytes are `bytes[0]` to `bytes[length - 1]`. */
  bytes: Buffer = EMPTY;
  length = 0;
  /** A whole first line is among them. */
  firstLineEnded = false;
  /** A CR without LF or a LF without CR was met. */
  badLineEnd = false;

  #lineLength = 0;
  #afterCr = false;

  /**
   * Takes bytes up to the end of the section.
   *
   * @param limit takes at most as many bytes as make `length` exceed this by one
   * @returns the index in `chunk` after the section, or -1 if it is not complete or `badLineEnd`
   */
  append(chunk: Buffer, from: number, limit: number): number {
    const to = Math.min(chunk.length, from + limit + 1 - this.length);
    let lineLength = this.#lineLength;
    let afterCr = this.#afterCr;
    let end = -1;
    let at = from;
    for (; at < to; at++) {
      const byte = chunk[at];
      if (afterCr) {
        if (byte !== LF) {
          this.badLineEnd = true;
          return -1;
        }
        afterCr = false;
        if (lineLength === 0) {
          end = ++at;
          break;
        }
        lineLength = 0;
        this.firstLineEnded = true;
      } else if (byte === CR) {
        afterCr = true;
      } else if (byte === LF) {
        this.badLineEnd = true;
        return -1;
      } else {
        lineLength++;
      }
    }
    this.#lineLength = lineLength;
    this.#afterCr = afterCr;
    this.#keep(chunk, from, at);
    return end;
  }

  /** Forgets everything; the memory is let go, because most connections never need it again. */
  clear(): void {
    this.bytes = EMPTY;
    this.length = 0;
    this.firstLineEnded = false;
    this.badLineEnd = false;
    this.#lineLength = 0;
    this.#afterCr = false;
  }

  #keep(chunk: Buffer, from: number, to: number): void {
    const needed = this.length + to - from;
    if (needed > this.bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(FIRST_SIZE_BYTES, needed, 2 * this.bytes.length));
      this.bytes.copy(larger, 0, 0, this.length);
      this.bytes = larger;
    }
    chunk.copy(this.bytes, this.length, from, to);
    this.length = needed;
  }
}
