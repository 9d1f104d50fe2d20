/**
 * Finds the field lines of a head or trailer section (RFC 9112 §5) in bytes: one pass that checks every character and
 * notes where names and values lie. Strings are made afterwards, from one decoded text.
 */
import type { ProtocolFault } from "../exchange.ts";
import { COLON, CR, FIELD_VALUE, HTAB, LF, SP, TOKEN } from "./syntax.ts";

/** The bytes end before the section does. */
export const MORE = -1;
/** The input is refused; see `fault`. */
export const BAD = -2;

/**
 * Four for each field of the last scan: name start, name end, value start, value end (indices into the scanned bytes).
 * One array for all connections, since what a scan finds is used before the next one begins.
 */
export let fieldOffsets = new Int32Array(4 * 64);

export class FieldScanner {
  /** Fields found by the last `scan`. */
  count = 0;
  fault: ProtocolFault | undefined = undefined;

  readonly #countMax: number;

  constructor(headerCountMax: number) {
    this.#countMax = headerCountMax;
  }

  /** Scans from the start of the first field line. @returns the index after the empty line, {@link MORE} or {@link BAD} */
  scan(bytes: Uint8Array, from: number, to: number): number {
    let offsets = fieldOffsets;
    let count = 0;
    let at = from;
    for (;;) {
      if (at >= to) return MORE;
      const start = at;
      while (at < to && TOKEN[bytes[at] as number] === 1) at++;
      if (at === to) return MORE;
      if (at === start) {
        if (bytes[at] === CR) {
          if (at + 1 >= to) return MORE;
          if (bytes[at + 1] !== LF) return this.#bad("bad_line_end", "a CR without LF in a head");
          this.count = count;
          return at + 2;
        }
        return this.#badName(bytes[at] as number, true);
      }
      if (bytes[at] !== COLON) return this.#badName(bytes[at] as number, false);
      const nameEnd = at++;
      while (at < to && (bytes[at] === SP || bytes[at] === HTAB)) at++;
      const valueStart = at;
      while (at < to && FIELD_VALUE[bytes[at] as number] === 1) at++;
      if (at + 1 >= to) {
        if (at < to && bytes[at] !== CR) return this.#badValue(bytes[at] as number);
        return MORE;
      }
      if (bytes[at] !== CR || bytes[at + 1] !== LF) return this.#badValue(bytes[at] as number);
      let valueEnd = at;
      while (valueEnd > valueStart && (bytes[valueEnd - 1] === SP || bytes[valueEnd - 1] === HTAB)) valueEnd--;
      at += 2;
      if (count === this.#countMax) {
        this.fault = {
          status: 431,
          kind: "too_many_headers",
          detail: `more than ${this.#countMax} fields in one head`,
        };
        return BAD;
      }
      const base = 4 * count++;
      if (base === offsets.length) offsets = grow();
      offsets[base] = start;
      offsets[base + 1] = nameEnd;
      offsets[base + 2] = valueStart;
      offsets[base + 3] = valueEnd;
    }
  }

  #badName(byte: number, first: boolean): number {
    if (byte === LF) return this.#bad("bad_line_end", "a LF without CR in a head");
    if (byte === SP || byte === HTAB) {
      return first
        ? this.#bad("folded_header", "a field continued on the next line (obs-fold)")
        : this.#bad("bad_header_name", "whitespace between field name and colon");
    }
    return this.#bad("bad_header_name", `byte ${byte} in a field name`);
  }

  #badValue(byte: number): number {
    if (byte === LF) return this.#bad("bad_line_end", "a LF without CR in a head");
    if (byte === CR) return this.#bad("bad_line_end", "a CR without LF in a head");
    return this.#bad("bad_header_value", `byte ${byte} in a field value`);
  }

  #bad(kind: string, detail: string): number {
    this.fault = { status: 400, kind, detail };
    return BAD;
  }
}

/** At most to twice what the largest limit on the count of fields asks for. */
function grow(): typeof fieldOffsets {
  const larger = new Int32Array(2 * fieldOffsets.length);
  larger.set(fieldOffsets);
  fieldOffsets = larger;
  return larger;
}
