/**
 * What a document may look like, as data: shapes that read a value of it, and say of everything wrong where it stands,
 * what was found and what was expected. A mapping names each of its fields; one that it does not name is an error, so
 * that nothing is ignored by accident. `docs/dialects.md` is compared with these.
 */
import { closest } from "./closest.ts";
import type { Diagnostic } from "./diagnostic.ts";
import { formatPath, type YamlDocument, type YamlPath } from "./yaml-document.ts";

/** Characters of a found value that a message repeats. */
const SHOWN_LENGTH_MAX = 40;
/** Words of a list that a message repeats. */
const WORDS_SHOWN_MAX = 16;
/** Entries of one list or mapping. */
export const ENTRIES_MAX = 1_000;
/** Characters of one text. */
export const TEXT_LENGTH_MAX = 4_096;

/** One value in a document, and where it stands. */
export class Node {
  readonly value: unknown;
  readonly path: YamlPath;
  readonly #document: YamlDocument;
  readonly #file: string;
  readonly #diagnostics: Diagnostic[];

  constructor(document: YamlDocument, file: string, diagnostics: Diagnostic[], path: YamlPath, value: unknown) {
    this.#document = document;
    this.#file = file;
    this.#diagnostics = diagnostics;
    this.path = path;
    this.value = value;
  }

  /** The value of a field, or of a list's entry; its `value` is undefined if there is none. */
  at(...path: (string | number)[]): Node {
    let value = this.value;
    for (const key of path) {
      const inside = typeof value === "object" && value !== null && Object.hasOwn(value, key);
      value = inside ? (value as Record<string | number, unknown>)[key] : undefined;
    }
    return new Node(this.#document, this.#file, this.#diagnostics, [...this.path, ...path], value);
  }

  /** The same place with an empty mapping in it. */
  emptied(): Node {
    return new Node(this.#document, this.#file, this.#diagnostics, this.path, {});
  }

  /** From 1. */
  get line(): number {
    return this.#document.position(this.path).line;
  }

  /** As Kubernetes reads it: a field that is null is not there. */
  get absent(): boolean {
    return this.value === undefined || this.value === null;
  }

  error(message: string, hint = "", what: "value" | "key" = "value"): void {
    this.#report("error", message, hint, what);
  }

  warning(message: string, hint = "", what: "value" | "key" = "value"): void {
    this.#report("warning", message, hint, what);
  }

  /** `expected …; found …` */
  unexpected(expected: string, hint = ""): undefined {
    const found = this.value === undefined ? "missing" : `found ${describe(this.value)}`;
    this.error(this.value === undefined ? `missing; expected ${expected}` : `expected ${expected}; ${found}`, hint);
    return undefined;
  }

  #report(severity: Diagnostic["severity"], message: string, hint: string, what: "value" | "key"): void {
    const { line, column } = this.#document.position(this.path, what);
    const field = formatPath(this.path);
    this.#diagnostics.push({ severity, file: this.#file, line, column, field, message, hint });
  }
}

/** What was read; undefined if it was wrong, which has been reported. */
export type Read<T> = { readonly value: T } | undefined;

export interface Shape<T> {
  read(node: Node): Read<T>;
  /** Of a mapping, or of what a list or mapping holds: for the documentation. */
  readonly fields?: Fields | undefined;
}

export interface Field<T> {
  /** "noted": read, and not followed, which a warning says. "accepted": as other programs write it, without a meaning here. */
  readonly verdict: "honoured" | "refused" | "noted" | "accepted";
  readonly shape?: Shape<unknown>;
  read(node: Node): Read<T>;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;
export type FieldsRead<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };
export type ShapeRead<S> = S extends Shape<infer T> ? T : never;

export function required<T>(shape: Shape<T>): Field<T> {
  return { verdict: "honoured", shape, read: (node) => shape.read(node) };
}

export function optional<T>(shape: Shape<T>): Field<T | undefined> {
  return { verdict: "honoured", shape, read: (node) => (node.absent ? { value: undefined } : shape.read(node)) };
}

export function defaulted<T>(shape: Shape<T>, value: T): Field<T> {
  return { verdict: "honoured", shape, read: (node) => (node.absent ? { value } : shape.read(node)) };
}

/** Read as if it were an empty mapping when it is not there. */
export function orEmpty<T>(shape: Shape<T>): Field<T> {
  return {
    verdict: "honoured",
    shape,
    read: (node) => shape.read(node.absent ? node.emptied() : node),
  };
}

/** Known, and not obeyed: an error that says why. @param reason "Heddle has no gateways" */
export function refused(reason: string): Field<undefined> {
  return {
    verdict: "refused",
    read(node) {
      if (node.value === undefined) return { value: undefined };
      node.error(`not supported: ${reason}`, "", "key");
      return undefined;
    },
  };
}

/** Of another field, by whose shape it is read: its mapping warns of what is not followed. */
export function noted<T>(field: Field<T>): Field<T> {
  return { ...field, verdict: "noted" };
}

/** What Kubernetes or Consul write into documents by themselves, and what is for people. */
export const accepted: Field<undefined> = { verdict: "accepted", read: () => ({ value: undefined }) };

/** @param check looks at what no single field shows */
export function mapping<const F extends Fields>(
  fields: F,
  check?: (value: FieldsRead<F>, node: Node) => void,
): Shape<FieldsRead<F>> {
  return {
    fields,
    read(node) {
      const known = Object.keys(fields).filter((name) => fields[name]?.verdict === "honoured");
      if (!isMapping(node.value)) return node.unexpected(`a mapping with ${shortList(known)}`);
      for (const key of Object.keys(node.value)) {
        if (!Object.hasOwn(fields, key)) node.at(key).error(`unknown field "${key}"`, knownHint(key, known), "key");
      }
      const value: Record<string, unknown> = {};
      let whole = true;
      for (const [name, field] of Object.entries(fields)) {
        const read = field.read(node.at(name));
        if (read === undefined) whole = false;
        else value[name] = read.value;
      }
      if (!whole) return undefined;
      check?.(value as FieldsRead<F>, node);
      return { value: value as FieldsRead<F> };
    },
  };
}

/** `did you mean "x"?`, or what is known. */
export function knownHint(word: string, known: readonly string[]): string {
  const near = closest(word, known);
  return near === undefined ? `known here: ${shortList(known)}` : `did you mean "${near}"?`;
}

function shortList(words: readonly string[]): string {
  return words.length <= WORDS_SHOWN_MAX ? words.join(", ") : `${words.slice(0, WORDS_SHOWN_MAX).join(", ")}, …`;
}

export interface ListLimits {
  /** Default 0. */
  readonly min?: number;
  /** Default {@link ENTRIES_MAX}. */
  readonly max?: number;
}

/** @param what "a list of networks" */
export function list<T>(
  what: string,
  entry: Shape<T>,
  { min = 0, max = ENTRIES_MAX }: ListLimits = {},
): Shape<readonly T[]> {
  return {
    fields: entry.fields,
    read(node) {
      if (!Array.isArray(node.value)) return node.unexpected(what);
      const { length } = node.value;
      if (length < min) return node.unexpected(`${what} with at least ${min === 1 ? "one entry" : `${min} entries`}`);
      if (length > max) {
        node.error(`${length} entries; at most ${max} are read`);
        return undefined;
      }
      const values: T[] = [];
      for (let i = 0; i < length; i++) {
        const read = entry.read(node.at(i));
        if (read !== undefined) values.push(read.value);
      }
      return values.length === length ? { value: values } : undefined;
    },
  };
}

/** Of a mapping whose keys its author chooses. @param expected "a port number" */
export interface KeyForm {
  readonly pattern: RegExp;
  readonly expected: string;
}

/** @param what "a mapping of labels" */
export function dictionary<T>(what: string, entry: Shape<T>, keys?: KeyForm): Shape<Readonly<Record<string, T>>> {
  return {
    fields: entry.fields,
    read(node) {
      if (!isMapping(node.value)) return node.unexpected(what);
      const names = Object.keys(node.value);
      if (names.length > ENTRIES_MAX) {
        node.error(`${names.length} entries; at most ${ENTRIES_MAX} are read`);
        return undefined;
      }
      const values: [string, T][] = [];
      for (const name of names) {
        const wrong = keys !== undefined && !keys.pattern.test(name);
        if (wrong) node.at(name).error(`expected ${keys.expected}; found ${describe(name)}`, "", "key");
        const read = entry.read(node.at(name));
        if (read !== undefined && !wrong) values.push([name, read.value]);
      }
      return values.length === names.length ? { value: Object.fromEntries(values) } : undefined;
    },
  };
}

/** Text, not empty unless the pattern says so. @param expected "the name of a service" */
export function text(expected: string, pattern: RegExp = /./s, lengthMax = TEXT_LENGTH_MAX): Shape<string> {
  return {
    read(node) {
      const { value } = node;
      if (typeof value === "string" && value.length <= lengthMax && pattern.test(value)) return { value };
      if (typeof value === "string" && value.length > lengthMax) {
        node.error(`expected ${expected}, at most ${lengthMax} characters; found ${value.length}`);
        return undefined;
      }
      const quotes = typeof value === "number" || typeof value === "boolean" ? "put quotes around it" : "";
      return node.unexpected(expected, quotes);
    },
  };
}

/** One of some words, in their case. */
export function oneOf<const T extends string>(words: readonly T[]): Shape<T> {
  const expected = words.length === 1 ? `"${words[0]}"` : `one of ${words.map((word) => `"${word}"`).join(", ")}`;
  return {
    read(node) {
      const { value } = node;
      const found = words.find((word) => word === value);
      if (found !== undefined) return { value: found };
      const near = typeof value === "string" ? closest(value, words) : undefined;
      return node.unexpected(expected, near === undefined ? "" : `did you mean "${near}"?`);
    },
  };
}

export function integer(min: number, max: number, expected: string): Shape<number> {
  return {
    read(node) {
      const { value } = node;
      if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return { value };
      return node.unexpected(expected, typeof value === "string" ? "write it without quotes" : "");
    },
  };
}

export const boolean: Shape<boolean> = {
  read: (node) => (typeof node.value === "boolean" ? { value: node.value } : node.unexpected("true or false")),
};

/** Another form of what a shape reads. */
export function mapped<A, B>(shape: Shape<A>, to: (value: A, node: Node) => B): Shape<B> {
  return {
    fields: shape.fields,
    read(node) {
      const read = shape.read(node);
      return read === undefined ? undefined : { value: to(read.value, node) };
    },
  };
}

export function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What stands there, short. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "object") return Object.keys(value).length === 0 ? "an empty mapping" : "a mapping";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value !== "string") return `a ${typeof value}`;
  const shown = value.length > SHOWN_LENGTH_MAX ? `${value.slice(0, SHOWN_LENGTH_MAX)}…` : value;
  return JSON.stringify(shown);
}
