/** Decompression of header blocks (RFC 7541). */
import { KIND_MASK, knownNameKind, nameKind, valueFlaws } from "./field-kind.ts";
import { decodeHuffman, maxDecodedBytes } from "./huffman.ts";
import { type Cursor, readInteger } from "./integer.ts";
import { RECENT_VALUE_OCTETS_MAX, RecentValues } from "./recent-values.ts";
import { learnSensitive } from "./sensitive-names.ts";
import { STATIC_COUNT, STATIC_FIELDS } from "./static-table.ts";

/** The size of the dynamic table that we allow peers (SETTINGS_HEADER_TABLE_SIZE at its default). */
export const DEFAULT_TABLE_BYTES = 4096;

/** What each entry counts besides its octets (RFC 7541 §4.1). */
export const ENTRY_OVERHEAD_BYTES = 32;

/** Takes the fields of a block in their order. @param kind of the name, with the flaws of the value: see field-kind.ts */
export interface FieldSink {
  onField(name: string, value: string, kind: number): void;
}

const staticKinds = new Uint8Array(STATIC_COUNT + 1);
for (let index = 1; index <= STATIC_COUNT; index++) {
  const value = Buffer.from(STATIC_FIELDS[2 * index - 1] as string, "latin1");
  staticKinds[index] = knownNameKind(STATIC_FIELDS[2 * index - 2] as string) | valueFlaws(value, 0, value.length);
}

/** Where Huffman-coded strings are decoded to; longer ones get a buffer of their own. */
const scratch = Buffer.allocUnsafeSlow(8 * 1024);
const NOTHING = Buffer.alloc(0);

export class HpackDecoder implements Cursor {
  /** @internal The cursor over the block at hand. */
  bytes: Buffer = NOTHING;
  /** @internal */
  at = 0;
  /** @internal */
  end = 0;

  readonly #allowedBytes: number;
  #maxBytes: number;
  #usedBytes = 0;
  // The dynamic table is a ring: entry n, counted from the first ever inserted, lies at n & mask.
  readonly #mask: number;
  readonly #names: string[] = [];
  readonly #values: string[] = [];
  readonly #kinds: number[] = [];
  #inserted = 0;
  #evicted = 0;
  /** Changes with each change of the dynamic table. */
  version = 0;

  // The string read last, and what its characters tell.
  #text = "";
  #textBytes: Buffer = NOTHING;
  #textStart = 0;
  #textEnd = 0;
  /** Of the value read last. */
  #flaws = 0;
  readonly #recent = new RecentValues();

  /** @param tableBytes the size of the dynamic table that the peer was told */
  constructor(tableBytes: number = DEFAULT_TABLE_BYTES) {
    this.#allowedBytes = tableBytes;
    this.#maxBytes = tableBytes;
    const entries = Math.max(1, Math.ceil(tableBytes / ENTRY_OVERHEAD_BYTES));
    const capacity = 2 ** Math.ceil(Math.log2(entries));
    this.#mask = capacity - 1;
  }

  /** Octets in the dynamic table, by the RFC's way of counting. */
  get tableBytes(): number {
    return this.#usedBytes;
  }

  /**
   * Decodes one whole header block, `bytes[start, end)`.
   *
   * @returns undefined, or what is wrong: a COMPRESSION_ERROR of the connection, since the table is lost
   */
  decode(bytes: Buffer, start: number, end: number, sink: FieldSink): string | undefined {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
    let sizeUpdateAllowed = true;
    while (this.at < end) {
      const first = bytes[this.at] as number;
      if (first >= 0x80) {
        sizeUpdateAllowed = false;
        if (!this.#indexed(sink)) return "index out of range";
      } else if (first >= 0x40) {
        sizeUpdateAllowed = false;
        if (!this.#literal(sink, 6, true, false)) return "broken literal field";
      } else if (first >= 0x20) {
        const size = readInteger(this, 5);
        if (!sizeUpdateAllowed) return "table size update after a field";
        if (size < 0 || size > this.#allowedBytes) return "table size update above what was allowed";
        this.#maxBytes = size;
        this.version++;
        this.#makeRoom(0);
      } else {
        sizeUpdateAllowed = false;
        if (!this.#literal(sink, 4, false, first >= 0x10)) return "broken literal field";
      }
    }
    return undefined;
  }

  #indexed(sink: FieldSink): boolean {
    const index = readInteger(this, 7);
    if (index <= 0) return false;
    if (index <= STATIC_COUNT) {
      sink.onField(
        STATIC_FIELDS[2 * index - 2] as string,
        STATIC_FIELDS[2 * index - 1] as string,
        staticKinds[index] as number,
      );
      return true;
    }
    const entry = this.#inserted - (index - STATIC_COUNT);
    if (entry < this.#evicted) return false;
    const slot = entry & this.#mask;
    sink.onField(this.#names[slot] as string, this.#values[slot] as string, this.#kinds[slot] as number);
    return true;
  }

  #literal(sink: FieldSink, prefixBits: number, insert: boolean, never: boolean): boolean {
    const index = readInteger(this, prefixBits);
    let name: string;
    let kind: number;
    if (index === 0) {
      if (!this.#readString()) return false;
      name = this.#text;
      kind = nameKind(name, this.#textBytes, this.#textStart, this.#textEnd);
    } else if (index < 0) {
      return false;
    } else if (index <= STATIC_COUNT) {
      name = STATIC_FIELDS[2 * index - 2] as string;
      kind = (staticKinds[index] as number) & KIND_MASK;
    } else {
      const entry = this.#inserted - (index - STATIC_COUNT);
      if (entry < this.#evicted) return false;
      name = this.#names[entry & this.#mask] as string;
      kind = (this.#kinds[entry & this.#mask] as number) & KIND_MASK;
    }
    if (!this.#readValue(!never)) return false;
    const value = this.#text;
    kind |= this.#flaws;
    if (insert) this.#insert(name, value, kind);
    else if (never) learnSensitive(name);
    sink.onField(name, value, kind);
    return true;
  }

  /** @param common it may be one that was here before */
  #readValue(common: boolean): boolean {
    const { bytes, at } = this;
    // The usual lengths are one octet (RFC 7541 §5.1).
    const prefix = at < this.end ? (bytes[at] as number) : 0;
    const length = prefix & 0x7f;
    const huffman = prefix >= 0x80;
    const short = common && length > 0 && length <= RECENT_VALUE_OCTETS_MAX && at + length < this.end;
    if (short && this.#recent.find(bytes, at + 1, length, huffman)) {
      this.at = at + 1 + length;
      this.#text = this.#recent.text;
      this.#flaws = this.#recent.flaws;
      return true;
    }
    if (!this.#readString()) return false;
    this.#flaws = valueFlaws(this.#textBytes, this.#textStart, this.#textEnd);
    if (short) this.#recent.remember(bytes, at + 1, length, huffman, this.#text, this.#flaws);
    return true;
  }

  #readString(): boolean {
    if (this.at >= this.end) return false;
    const huffman = (this.bytes[this.at] as number) >= 0x80;
    const length = readInteger(this, 7);
    const start = this.at;
    if (length < 0 || length > this.end - start) return false;
    this.at = start + length;
    if (!huffman) {
      this.#textBytes = this.bytes;
      this.#textStart = start;
      this.#textEnd = start + length;
    } else {
      const most = maxDecodedBytes(length);
      const out = most <= scratch.length ? scratch : Buffer.allocUnsafe(most);
      const decoded = decodeHuffman(this.bytes, start, start + length, out);
      if (decoded < 0) return false;
      this.#textBytes = out;
      this.#textStart = 0;
      this.#textEnd = decoded;
    }
    this.#text = this.#textBytes.toString("latin1", this.#textStart, this.#textEnd);
    return true;
  }

  #insert(name: string, value: string, kind: number): void {
    const size = name.length + value.length + ENTRY_OVERHEAD_BYTES;
    this.version++;
    this.#makeRoom(size);
    if (size > this.#maxBytes) return;
    const slot = this.#inserted++ & this.#mask;
    this.#names[slot] = name;
    this.#values[slot] = value;
    this.#kinds[slot] = kind;
    this.#usedBytes += size;
  }

  #makeRoom(size: number): void {
    while (this.#usedBytes + size > this.#maxBytes && this.#evicted < this.#inserted) {
      const slot = this.#evicted++ & this.#mask;
      this.#usedBytes -= (this.#names[slot] as string).length + (this.#values[slot] as string).length;
      this.#usedBytes -= ENTRY_OVERHEAD_BYTES;
      this.#names[slot] = "";
      this.#values[slot] = "";
    }
  }
}
