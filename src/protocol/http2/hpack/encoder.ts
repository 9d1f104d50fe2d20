/**
 * Compression of header blocks (RFC 7541), straight into the outgoing block.
 *
 * Literals are written raw: Huffman coding would save a third of the octets of the few fields that are not in the table
 * and costs several times the time of a copy. What repeats goes into the dynamic table. Whether a field repeats is learned
 * by name: a name whose values keep missing the table (paths of a REST interface, request ids, dates on a quiet
 * connection) is inserted rarely until it hits again.
 */
import { DEFAULT_TABLE_BYTES, ENTRY_OVERHEAD_BYTES } from "./decoder.ts";
import { FieldKind, knownNameKind } from "./field-kind.ts";
import { writeInteger } from "./integer.ts";
import { isSensitive } from "./sensitive-names.ts";
import { STATIC_COUNT, STATIC_FIELDS, STATIC_NAME_INDEX } from "./static-table.ts";

/** Names remembered per connection; when there are more, all are forgotten and learned again. */
export const ENCODER_NAMES_MAX = 256;

/** Octets that a field can take besides its characters, and a block besides its fields. */
export const FIELD_OVERHEAD_BYTES = 12;
export const BLOCK_OVERHEAD_BYTES = 16;

/** Fields larger than this share of the table are not worth the eviction of others. */
const LARGEST_SHARE = 4;
/** Entries of one name that are compared with a value before it counts as missing. */
const COMPARED_MAX = 8;
/** Misses in a row, less what hits took off, above which a name is inserted only now and then. */
const MISSES_TOLERATED = 8;
/** Then one miss out of this many is inserted, to find out whether values repeat by now. A power of two. */
const PROBE_EVERY = 64;

const Policy = { index: 0, never: 1, drop: 2, te: 3, host: 4 } as const;

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** What the encoder knows of a field name. */
class NameSlot {
  readonly lower: string;
  /** Of the static table, or 0. */
  readonly staticIndex: number;
  /** Fields with this name in the static table that have a value: from `staticIndex` on, this many. */
  readonly staticValues: number;
  readonly policy: number;
  /** The entry with this name inserted last, counted from the first ever, or -1. */
  newest = -1;
  misses = 0;
  seen = 0;

  constructor(lower: string, policy: number) {
    this.lower = lower;
    this.policy = policy;
    this.staticIndex = STATIC_NAME_INDEX.get(lower) ?? 0;
    let values = 0;
    if (this.staticIndex > 0) {
      while (STATIC_FIELDS[2 * (this.staticIndex + values - 1)] === lower) {
        if (STATIC_FIELDS[2 * (this.staticIndex + values) - 1] === "") break;
        values++;
      }
    }
    this.staticValues = values;
  }
}

const NOTHING = Buffer.alloc(0);

export class HpackEncoder {
  #block: Uint8Array = NOTHING;
  #at = 0;

  #names = new Map<string, NameSlot>();
  // Each side of a connection needs some of these, and most connections hardly any.
  #status: NameSlot | undefined;
  #method: NameSlot | undefined;
  #scheme: NameSlot | undefined;
  #authority: NameSlot | undefined;
  #path: NameSlot | undefined;
  #protocol: NameSlot | undefined;

  readonly #allowedBytes: number;
  #maxBytes: number;
  /** The smallest size since the last block, or -1: size updates to be announced. */
  #announceSmallest = -1;
  #usedBytes = 0;
  // A ring, as in the decoder. `older` chains the entries of one name. Plain arrays: they take no memory before the first
  // entry, and most connections of an idle proxy never have one.
  readonly #mask: number;
  readonly #values: string[] = [];
  readonly #sizes: number[] = [];
  readonly #older: number[] = [];
  #inserted = 0;
  #evicted = 0;

  /** @param tableBytes the most that is used of what the peer allows */
  constructor(tableBytes: number = DEFAULT_TABLE_BYTES) {
    this.#allowedBytes = tableBytes;
    this.#maxBytes = Math.min(tableBytes, DEFAULT_TABLE_BYTES);
    const capacity = 2 ** Math.ceil(Math.log2(Math.max(1, Math.ceil(tableBytes / ENTRY_OVERHEAD_BYTES))));
    this.#mask = capacity - 1;
  }

  /** Octets in the dynamic table, by the RFC's way of counting. */
  get tableBytes(): number {
    return this.#usedBytes;
  }

  /** Names remembered: at most {@link ENCODER_NAMES_MAX}. */
  get names(): number {
    return this.#names.size;
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setPeerTableBytes(bytes: number): void {
    const size = Math.min(bytes, this.#allowedBytes);
    if (size === this.#maxBytes) return;
    this.#maxBytes = size;
    this.#announceSmallest = this.#announceSmallest < 0 ? size : Math.min(size, this.#announceSmallest);
    this.#makeRoom(0);
  }

  /**
   * Begins a block at `block[at]`. There must be room for {@link BLOCK_OVERHEAD_BYTES} and for each field's characters
   * and {@link FIELD_OVERHEAD_BYTES}.
   */
  begin(block: Uint8Array, at: number): void {
    this.#block = block;
    this.#at = at;
    if (this.#announceSmallest < 0) return;
    if (this.#announceSmallest < this.#maxBytes) {
      this.#at = writeInteger(block, this.#at, 5, 0x20, this.#announceSmallest);
    }
    this.#at = writeInteger(block, this.#at, 5, 0x20, this.#maxBytes);
    this.#announceSmallest = -1;
  }

  /** Ends the block. @returns the offset after it */
  end(): number {
    this.#block = NOTHING;
    return this.#at;
  }

  method(value: string): void {
    if (value === "GET") this.#block[this.#at++] = 0x82;
    else if (value === "POST") this.#block[this.#at++] = 0x83;
    else this.#encode((this.#method ??= pseudo(":method")), value);
  }

  scheme(value: string): void {
    if (value === "http") this.#block[this.#at++] = 0x86;
    else if (value === "https") this.#block[this.#at++] = 0x87;
    else this.#encode((this.#scheme ??= pseudo(":scheme")), value);
  }

  authority(value: string): void {
    this.#encode((this.#authority ??= pseudo(":authority")), value);
  }

  path(value: string): void {
    this.#encode((this.#path ??= pseudo(":path")), value);
  }

  protocol(value: string): void {
    this.#encode((this.#protocol ??= pseudo(":protocol")), value);
  }

  status(value: number): void {
    if (value === 200) this.#block[this.#at++] = 0x88;
    else this.#encode((this.#status ??= pseudo(":status")), String(value));
  }

  /**
   * A field that is no pseudo-header field, its name in any case. Left out are connection-specific fields, names that are
   * no tokens, and, with `withoutHost`, Host.
   */
  field(name: string, value: string, withoutHost: boolean): void {
    let slot = this.#names.get(name);
    if (slot === undefined) slot = this.#learn(name);
    if (slot.policy >= Policy.drop) {
      if (slot.policy === Policy.drop) return;
      if (slot.policy === Policy.host && withoutHost) return;
      if (slot.policy === Policy.te && value.toLowerCase() !== "trailers") return;
    }
    this.#encode(slot, value);
  }

  #learn(name: string): NameSlot {
    // A name may take two places: as it came and in lower case.
    if (this.#names.size > ENCODER_NAMES_MAX - 2) this.#names.clear();
    const lower = name.toLowerCase();
    let slot = lower === name ? undefined : this.#names.get(lower);
    if (slot === undefined) {
      slot = new NameSlot(lower, policyOf(lower));
      this.#names.set(lower, slot);
    }
    this.#names.set(name, slot);
    return slot;
  }

  #encode(slot: NameSlot, value: string): void {
    for (let i = 0; i < slot.staticValues; i++) {
      if (STATIC_FIELDS[2 * (slot.staticIndex + i) - 1] === value) {
        this.#block[this.#at++] = 0x80 | (slot.staticIndex + i);
        return;
      }
    }
    let entry = slot.newest;
    for (let i = 0; entry >= this.#evicted && i < COMPARED_MAX; i++) {
      if (this.#values[entry & this.#mask] === value) {
        slot.misses >>>= 1;
        this.#at = writeInteger(this.#block, this.#at, 7, 0x80, STATIC_COUNT + this.#inserted - entry);
        return;
      }
      entry = this.#older[entry & this.#mask] as number;
    }
    this.#literal(slot, value);
  }

  #literal(slot: NameSlot, value: string): void {
    const block = this.#block;
    const never = slot.policy === Policy.never || isSensitive(slot.lower);
    const insert = !never && this.#isWorthInserting(slot, value);
    const nameIndex =
      slot.staticIndex > 0
        ? slot.staticIndex
        : slot.newest >= this.#evicted
          ? STATIC_COUNT + this.#inserted - slot.newest
          : 0;
    if (insert) this.#at = writeInteger(block, this.#at, 6, 0x40, nameIndex);
    else this.#at = writeInteger(block, this.#at, 4, never ? 0x10 : 0, nameIndex);
    if (nameIndex === 0) this.#string(slot.lower);
    this.#string(value);
    if (insert) this.#insert(slot, value);
  }

  #isWorthInserting(slot: NameSlot, value: string): boolean {
    slot.seen++;
    if (slot.misses < 2 * MISSES_TOLERATED) slot.misses++;
    if (slot.misses > MISSES_TOLERATED && (slot.seen & (PROBE_EVERY - 1)) !== 0) return false;
    if (slot === this.#path && value.includes("?")) return false;
    return (slot.lower.length + value.length + ENTRY_OVERHEAD_BYTES) * LARGEST_SHARE <= this.#maxBytes;
  }

  /** A raw string literal. A character above U+00FF, which no field can carry, becomes a question mark. */
  #string(text: string): void {
    const block = this.#block;
    const length = text.length;
    let at = writeInteger(block, this.#at, 7, 0, length);
    for (let i = 0; i < length; i++) {
      const character = text.charCodeAt(i);
      block[at++] = character <= 0xff ? character : 0x3f;
    }
    this.#at = at;
  }

  #insert(slot: NameSlot, value: string): void {
    const size = slot.lower.length + value.length + ENTRY_OVERHEAD_BYTES;
    this.#makeRoom(size);
    const entry = this.#inserted++;
    const place = entry & this.#mask;
    this.#values[place] = value;
    this.#sizes[place] = size;
    this.#older[place] = slot.newest;
    this.#usedBytes += size;
    slot.newest = entry;
  }

  #makeRoom(size: number): void {
    while (this.#usedBytes + size > this.#maxBytes && this.#evicted < this.#inserted) {
      const place = this.#evicted++ & this.#mask;
      this.#usedBytes -= this.#sizes[place] as number;
      this.#values[place] = "";
    }
  }
}

function pseudo(name: string): NameSlot {
  return new NameSlot(name, Policy.index);
}

function policyOf(lower: string): number {
  if (!TOKEN.test(lower)) return Policy.drop;
  switch (knownNameKind(lower)) {
    case FieldKind.forbidden:
      return Policy.drop;
    case FieldKind.te:
      return Policy.te;
    case FieldKind.host:
      return Policy.host;
    default:
      return isSensitive(lower) ? Policy.never : Policy.index;
  }
}
