/**
 * The open streams of a connection by their id: a hash table with open addressing.
 *
 * Not a Map: in V8 a Map that is filled and emptied all the time replaces its table again and again, and each dead table
 * keeps the next one alive, with all dead streams in it, once it has grown old. Every young collection then copies what
 * it should have freed (measured: three quarters of it).
 */
const INITIAL_SLOTS = 8;

export class StreamTable<S extends { readonly id: number }> {
  size = 0;
  #slots: (S | undefined)[] = emptySlots(INITIAL_SLOTS);
  #mask = INITIAL_SLOTS - 1;

  get(id: number): S | undefined {
    const slots = this.#slots;
    const mask = this.#mask;
    // One side's ids are all odd or all even, and rise by two.
    for (let at = (id >>> 1) & mask; ; at = (at + 1) & mask) {
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
    let hole = (id >>> 1) & mask;
    while (slots[hole]?.id !== id) {
      if (slots[hole] === undefined) return;
      hole = (hole + 1) & mask;
    }
    this.size--;
    // Those behind that are not at their own place move up, so that no search ends at the hole before them.
    for (let at = (hole + 1) & mask; ; at = (at + 1) & mask) {
      const stream = slots[at];
      if (stream === undefined) break;
      const home = (stream.id >>> 1) & mask;
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
    for (const stream of before) if (stream !== undefined) this.#place(stream);
  }

  #place(stream: S): void {
    let at = (stream.id >>> 1) & this.#mask;
    while (this.#slots[at] !== undefined) at = (at + 1) & this.#mask;
    this.#slots[at] = stream;
  }
}

function emptySlots<S>(length: number): (S | undefined)[] {
  const slots: (S | undefined)[] = [];
  for (let i = 0; i < length; i++) slots.push(undefined);
  return slots;
}
