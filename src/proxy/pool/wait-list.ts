/** A first-in-first-out line that anybody may leave from the middle at constant cost, however long it is. */

/** Somebody's place in a line. */
export class Place<T> {
  readonly item: T;
  /** @internal */
  line: WaitList<T> | undefined;
  /** @internal */
  before: Place<T> | undefined;
  /** @internal */
  behind: Place<T> | undefined = undefined;

  /** @internal */
  constructor(item: T, line: WaitList<T>, before: Place<T> | undefined) {
    this.item = item;
    this.line = line;
    this.before = before;
  }

  /** Gives the place up. Does nothing for one whose turn has come. Idempotent. */
  leave(): void {
    this.line?.remove(this);
  }
}

export class WaitList<T> {
  #first: Place<T> | undefined;
  #last: Place<T> | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(item: T): Place<T> {
    const place = new Place(item, this, this.#last);
    if (this.#last === undefined) this.#first = place;
    else this.#last.behind = place;
    this.#last = place;
    this.#length++;
    return place;
  }

  /** Takes the one that has waited longest; undefined if nobody waits. */
  shift(): T | undefined {
    const place = this.#first;
    if (place === undefined) return undefined;
    this.remove(place);
    return place.item;
  }

  /** Empties the line. @returns who was in it, in order */
  takeAll(): T[] {
    const items: T[] = [];
    for (let item = this.shift(); item !== undefined; item = this.shift()) items.push(item);
    return items;
  }

  /** @internal */
  remove(place: Place<T>): void {
    if (place.before === undefined) this.#first = place.behind;
    else place.before.behind = place.behind;
    if (place.behind === undefined) this.#last = place.before;
    else place.behind.before = place.before;
    place.line = undefined;
    place.before = undefined;
    place.behind = undefined;
    this.#length--;
  }
}
