/**
 * YAML as plain values, with the place of every value in the text: one document, or a stream of them. JSON is YAML.
 *
 * Stricter than YAML where leniency hides mistakes: text keys, no duplicate keys, no unknown tags, no
 * merge keys, and aliases only as far as the whole stays small.
 */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
  parseDocument,
  type Document,
  type ErrorCode,
  type YAMLError,
} from "yaml";

import type { Diagnostic } from "./diagnostic.ts";

/** Bytes of a file. */
export const YAML_BYTES_MAX = 1024 * 1024;
/** Values in a file once its aliases are expanded. */
export const YAML_VALUES_MAX = 200_000;
/** Documents in one stream. */
export const YAML_DOCUMENTS_MAX = 1_000;
/** Mappings and lists within each other. */
export const YAML_DEPTH_MAX = 64;
/** Syntax errors that are reported; those after them mostly follow from the first. */
const SYNTAX_ERRORS_MAX = 20;

export type YamlPath = readonly (string | number)[];

interface Place {
  /** Offset of the key; undefined for list items and for the root. */
  readonly key: number | undefined;
  /** Offset of the value; undefined where it is empty. */
  readonly value: number | undefined;
  /** How a number or a boolean was written. */
  readonly source: string | undefined;
}

export interface YamlDocument {
  /** Mappings, lists and scalars; undefined if there are errors in `diagnostics`. */
  readonly value: unknown;
  readonly diagnostics: readonly Diagnostic[];
  /**
   * Where something stands: a value (for an empty one its key), or a key. For what is not in the document it is
   * the nearest mapping around it.
   */
  position(path: YamlPath, what?: "value" | "key"): { line: number; column: number };
  /** A number or boolean as it was written ("1.10", not 1.1); undefined for anything else. */
  source(path: YamlPath): string | undefined;
}

/** Of every document here: duplicate keys are found by the reader, for the library compares every key with every other. */
const OPTIONS = { prettyErrors: false, uniqueKeys: false, strict: true } as const;

/** Reads text as one YAML document. Never throws: what is wrong with it is in `diagnostics`. */
export function parseYaml(text: string, file: string): YamlDocument {
  const lines = new LineCounter();
  const reader = new Reader(file, lines, { values: 0 });
  if (reader.reportSize(text)) return reader.finish(undefined);
  return readDocument(parseDocument(text, { ...OPTIONS, lineCounter: lines }), reader);
}

/**
 * Reads text as a stream of documents, at most {@link YAML_DOCUMENTS_MAX}; empty ones are left out. Never throws: what is
 * wrong is in the `diagnostics` of a document, which then has no value.
 */
export function parseYamlStream(text: string, file: string): readonly YamlDocument[] {
  const lines = new LineCounter();
  const budget = { values: 0 };
  const whole = new Reader(file, lines, budget);
  if (whole.reportSize(text)) return [whole.finish(undefined)];
  const parsed = parseAllDocuments(text, { ...OPTIONS, lineCounter: lines });
  if ("empty" in parsed) {
    for (const error of [...parsed.errors, ...parsed.warnings].slice(0, SYNTAX_ERRORS_MAX)) whole.reportSyntax(error);
    return whole.diagnostics.length === 0 ? [] : [whole.finish(undefined)];
  }
  const documents = parsed.filter(
    ({ contents, errors, warnings }) => !isEmpty(contents) || errors.length + warnings.length > 0,
  );
  const surplus = documents[YAML_DOCUMENTS_MAX];
  if (surplus !== undefined) {
    const message = `the file has more than ${YAML_DOCUMENTS_MAX} documents, which are not read`;
    whole.report(surplus.range[0], [], message, "split it into several files");
    return [whole.finish(undefined)];
  }
  return documents.map((document) => readDocument(document, new Reader(file, lines, budget)));
}

function isEmpty(contents: unknown): boolean {
  return contents === null || (isScalar(contents) && contents.value === null && (contents.source ?? "") === "");
}

function readDocument(document: Document.Parsed | Document, reader: Reader): YamlDocument {
  const errors = [...document.errors, ...document.warnings];
  // The library's own limit of nesting; it leaves an unclosed bracket per level behind.
  const exhausted = errors.find(({ code }) => code === "RESOURCE_EXHAUSTION");
  for (const error of exhausted === undefined ? errors.slice(0, SYNTAX_ERRORS_MAX) : [exhausted])
    reader.reportSyntax(error);
  if (reader.diagnostics.length > 0) return reader.finish(undefined);
  return reader.finish(reader.read(document.contents, []));
}

class Reader {
  readonly diagnostics: Diagnostic[] = [];
  readonly #file: string;
  readonly #lines: LineCounter;
  readonly #places = new Map<string, Place>();
  readonly #anchors = new Map<string, unknown>();
  /** Anchored nodes that are being read right now. */
  readonly #open = new Set<unknown>();
  /** The alias in the text that is being expanded, if any. */
  #alias: { offset: number; path: YamlPath } | undefined;
  /** Shared by the documents of one file. */
  readonly #budget: { values: number };

  constructor(file: string, lines: LineCounter, budget: { values: number }) {
    this.#file = file;
    this.#lines = lines;
    this.#budget = budget;
  }

  /** @returns whether the text is too large to be read */
  reportSize(text: string): boolean {
    const bytes = Buffer.byteLength(text);
    if (bytes <= YAML_BYTES_MAX) return false;
    const message = `the file has ${bytes} bytes; at most ${YAML_BYTES_MAX} are read`;
    this.report(0, [], message, "split it into several files");
    return true;
  }

  report(offset: number, path: YamlPath, message: string, hint = ""): void {
    const { line, column } = this.#at(offset);
    const field = formatPath(path);
    this.diagnostics.push({ severity: "error", file: this.#file, line, column, field, message, hint });
  }

  reportSyntax(error: YAMLError): void {
    this.report(error.pos[0], [], syntaxMessage(error), SYNTAX_HINTS[error.code]);
  }

  finish(value: unknown): YamlDocument {
    return {
      value: this.diagnostics.length > 0 ? undefined : value,
      diagnostics: this.diagnostics,
      position: (path, what = "value") => this.#position(path, what),
      source: (path) => this.#places.get(placeKey(path))?.source,
    };
  }

  /** The plain value of a node. After too many values it only counts. */
  read(node: unknown, path: YamlPath, key?: number): unknown {
    if (++this.#budget.values > YAML_VALUES_MAX) {
      if (this.#budget.values === YAML_VALUES_MAX + 1) this.#reportTooManyValues(startOf(node) ?? key ?? 0, path);
      return undefined;
    }
    if (isAlias(node)) return this.#readAlias(node.source, node.range?.[0] ?? 0, path, key);
    const empty = isScalar(node) && node.value === null;
    const written = isScalar(node) && ["number", "boolean"].includes(typeof node.value) ? node.source : undefined;
    this.#places.set(placeKey(path), { key, value: empty ? undefined : startOf(node), source: written });
    if (!isScalar(node) && !isMap(node) && !isSeq(node)) return null;
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (isScalar(node)) return node.value;
    if (path.length > YAML_DEPTH_MAX) {
      this.report(startOf(node) ?? 0, path, `nested more than ${YAML_DEPTH_MAX} levels deep`);
      return undefined;
    }
    this.#open.add(node);
    const value = isMap(node)
      ? this.#readMap(node.items, path)
      : node.items.map((item, i) => this.read(item, [...path, i]));
    this.#open.delete(node);
    return value;
  }

  #reportTooManyValues(offset: number, path: YamlPath): void {
    const at = this.#alias ?? { offset, path };
    const hint = this.#alias === undefined ? "" : "aliases that repeat aliases grow without bound";
    this.report(at.offset, at.path, `the file expands to more than ${YAML_VALUES_MAX} values`, hint);
  }

  #readMap(items: readonly { key: unknown; value: unknown }[], path: YamlPath): Record<string, unknown> {
    const value: Record<string, unknown> = {};
    for (const item of items) {
      const offset = startOf(item.key) ?? 0;
      if (!isScalar(item.key) || (typeof item.key.value !== "string" && item.key.source === undefined)) {
        this.report(offset, path, "a key must be plain text");
        continue;
      }
      const name = typeof item.key.value === "string" ? item.key.value : (item.key.source as string);
      const child = [...path, name];
      if (name === "<<") {
        this.report(
          offset,
          child,
          "merge keys (<<) are not read",
          "write the fields out, or repeat a value with an alias",
        );
      } else if (Object.hasOwn(value, name)) {
        const first = this.#position(child, "key").line;
        this.report(offset, child, `"${name}" is written twice; the first time on line ${first}`);
      } else {
        const read = this.read(item.value, child, offset);
        Object.defineProperty(value, name, { value: read, enumerable: true, configurable: true, writable: true });
      }
    }
    return value;
  }

  #readAlias(name: string, offset: number, path: YamlPath, key: number | undefined): unknown {
    const target = this.#anchors.get(name);
    if (target === undefined) {
      this.report(offset, path, `the alias *${name} has no anchor &${name} above it`);
      return undefined;
    }
    if (this.#open.has(target)) {
      this.report(offset, path, `the alias *${name} contains itself`);
      return undefined;
    }
    const outermost = this.#alias === undefined;
    if (outermost) this.#alias = { offset, path };
    const value = this.read(target, path, key);
    if (outermost) this.#alias = undefined;
    return value;
  }

  #position(path: YamlPath, what: "value" | "key"): { line: number; column: number } {
    for (let length = path.length; length >= 0; length--) {
      const place = this.#places.get(placeKey(path.slice(0, length)));
      if (place === undefined) continue;
      // What is missing is shown at the key of what it is missing from.
      const preferKey = what === "key" || length < path.length;
      const offset = preferKey ? (place.key ?? place.value) : (place.value ?? place.key);
      // An empty entry of a list has neither.
      if (offset !== undefined) return this.#at(offset);
    }
    return this.#at(0);
  }

  #at(offset: number): { line: number; column: number } {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  }
}

function startOf(node: unknown): number | undefined {
  if (!isScalar(node) && !isMap(node) && !isSeq(node) && !isAlias(node)) return undefined;
  return node.range?.[0];
}

function placeKey(path: YamlPath): string {
  return path.join("\u0000");
}

/** `services.price.ports[0].port`; keys that are no plain words are quoted. */
export function formatPath(path: YamlPath): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (!/^[\w-]+$/.test(part)) text += `[${JSON.stringify(part)}]`;
    else text += text === "" ? part : `.${part}`;
  }
  return text;
}

/** What to do about a syntax error, where the message alone does not say it. */
const SYNTAX_HINTS: Partial<Record<ErrorCode, string>> = {
  BAD_SCALAR_START: "put quotes around it",
  BLOCK_AS_IMPLICIT_KEY: 'a value with ": " in it needs quotes',
  MULTILINE_IMPLICIT_KEY: 'a value with ": " in it needs quotes',
  MULTIPLE_DOCS: "put it into a file of its own",
  TAB_AS_INDENT: "YAML allows only spaces there",
  TAG_RESOLVE_FAILED: "tags are not used here",
};

/** Our words for what the library found. */
function syntaxMessage(error: YAMLError): string {
  const message = error.message.slice(0, 1).toLowerCase() + error.message.slice(1);
  if (error.code === "MULTIPLE_DOCS") return "a second document starts here; one file holds one document";
  if (error.code === "TAB_AS_INDENT") return "a tab is used for indentation";
  if (error.code === "RESOURCE_EXHAUSTION") return "the document is nested too deeply";
  if (error.code === "BAD_SCALAR_START" || error.code === "TAG_RESOLVE_FAILED") return message;
  return error.code === "BAD_INDENT" ? `wrong indentation: ${message}` : `not valid YAML: ${message}`;
}
