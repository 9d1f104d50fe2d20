/**
 * The open streams of a connection by their id: a hash table with open addressing, at most half full.
 *
 * Not a Map: in V8 a Map that is filled and emptied all the time replaces its table again and again, and each dead table
 * keeps the next one alive, with all dead streams in it, once it has grown old. Every young collection then copies what
 * it should have freed (measured: three quarters of it).
 */
const INITIAL_SLOTS = 8;

/**
 * 2^32 divided by the golden ratio (Knuth, The Art of Computer Programming 3, §6.4): ids that follow each other land far
 * apart. Side by side they would make one long run, which every removal walks to its end.
 */
const GOLDEN = 0x9e37_79b1;

export class StreamTable<S extends { readonly id: number }> {
  size = 0;
  #slots: (S | undefined)[] = emptySlots(INITIAL_SLOTS);
  #mask = INITIAL_SLOTS - 1;
  /** Leaves as many of the upper bits of a product as the mask has. */
  #shift = Math.clz32(INITIAL_SLOTS - 1);

  get(id: number): S | undefined {
    const slots = this.#slots;
    const mask = this.#mask;
    for (let at = Math.imul(id, GOLDEN) >>> this.#shift; ; at = (at + 1) & mask) {
      const stream = slots[at];
      if (stream === undefined || stream.id === id) return stream;
    }
  }

  /** The stream's id must not be in the table. */
  add(stream: S): void {
    if (++this.size * 2 > this.#slots.length) this.#grow();
    this.#place(stream);
  }

  delete(id: number): void {
    const slots = this.#slots;
    const mask = this.#mask;
    const shift = this.#shift;
    let hole = Math.imul(id, GOLDEN) >>> shift;
    while (slots[hole]?.id !== id) {
      if (slots[hole] === undefined) return;
      hole = (hole + 1) & mask;
    }
    this.size--;
    // Those behind that are not at their own place move up, so that no search ends at the hole before them.
    for (let at = (hole + 1) & mask; ; at = (at + 1) & mask) {
      const stream = slots[at];
      if (stream === undefined) break;
      const home = Math.imul(stream.id, GOLDEN) >>> shift;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      slots[hole] = stream;
      hole = at;
    }
    slots[hole] = undefined;
  }

  /** All streams, in no particular order; a copy, so the table may change meanwhile. */
  all(): S[] {
    return this.#slots.filter((stream) => stream !== undefined);
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = emptySlots(before.length * 2);
    this.#mask = this.#slots.length - 1;
    this.#shift = Math.clz32(this.#mask);
    for (const stream of before) if (stream !== undefined) this.#place(stream);
  }

  #place(stream: S): void {
    let at = Math.imul(stream.id, GOLDEN) >>> this.#shift;
    while (this.#slots[at] !== undefined) at = (at + 1) & this.#mask;
    this.#slots[at] = stream;
  }
}

function emptySlots<S>(length: number): (S | undefined)[] {
  const slots: (S | undefined)[] = [];
  for (let i = 0; i < length; i++) slots.push(undefined);
  return slots;
}
