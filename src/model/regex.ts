/**
 * Regular expressions in RE2's syntax whose matching takes time linear in the text, whatever the expression and the text
 * are: Node's own backtrack, and a header would be enough to bring a sidecar to a standstill. A set of states of a Thompson
 * automaton is led through the text once. It answers only whether the whole text matches, which is all that policies ask.
 *
 * As in RE2 there are no back-references and no look-around. Not taken either, by name: Unicode classes (\p), the flags
 * m and U. Characters are UTF-16 code units; what comes off the wire is one octet each.
 */

/** Characters that an expression may have. */
export const REGEX_LENGTH_MAX = 1_024;
/** Steps that an expression may come to, with its repetitions written out. */
export const REGEX_STEPS_MAX = 1_000;
/** Groups in groups. */
const DEPTH_MAX = 100;
/** As in RE2. */
const REPEAT_MAX = 1_000;

/** The message says what was found, where (from 0), and what is taken instead. */
export class RegexError extends Error {
  override readonly name = "RegexError";
}

/** Pairs of first and last code unit, in no order. */
type Ranges = readonly number[];

type Node =
  | { readonly is: "set"; readonly ranges: Ranges; readonly negated: boolean }
  | { readonly is: "sequence"; readonly parts: readonly Node[] }
  | { readonly is: "choice"; readonly parts: readonly Node[] }
  | { readonly is: "repeat"; readonly part: Node; readonly min: number; readonly max: number }
  | { readonly is: "assertion"; readonly what: Assertion };

type Assertion = "begin" | "end" | "boundary" | "no-boundary";

/** What a step does; its targets are indexes of steps. */
type Step =
  | { readonly is: "set"; readonly ranges: Ranges; readonly negated: boolean }
  | { readonly is: "assertion"; readonly what: Assertion }
  | { is: "fork"; first: number; second: number }
  | { readonly is: "match" };

const DIGIT: Ranges = [0x30, 0x39];
const WORD: Ranges = [0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a];
const SPACE: Ranges = [0x09, 0x0a, 0x0c, 0x0d, 0x20, 0x20];
const EVERYTHING: Ranges = [0, 0xffff];

const NAMED: Readonly<Record<string, Ranges>> = {
  alnum: [0x30, 0x39, 0x41, 0x5a, 0x61, 0x7a],
  alpha: [0x41, 0x5a, 0x61, 0x7a],
  ascii: [0, 0x7f],
  blank: [0x09, 0x09, 0x20, 0x20],
  cntrl: [0, 0x1f, 0x7f, 0x7f],
  digit: DIGIT,
  graph: [0x21, 0x7e],
  lower: [0x61, 0x7a],
  print: [0x20, 0x7e],
  punct: [0x21, 0x2f, 0x3a, 0x40, 0x5b, 0x60, 0x7b, 0x7e],
  space: [0x09, 0x0d, 0x20, 0x20],
  upper: [0x41, 0x5a],
  word: WORD,
  xdigit: [0x30, 0x39, 0x41, 0x46, 0x61, 0x66],
};

const ESCAPED: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 };

export class Regex {
  readonly source: string;
  readonly #steps: Step[];
  /** The round in which a step was last put into the set: saves clearing. */
  readonly #seen: Uint32Array;
  #round = 0;
  #current: number[] = [];
  #next: number[] = [];

  /** @throws RegexError */
  constructor(source: string) {
    if (source.length > REGEX_LENGTH_MAX) {
      throw new RegexError(`it has ${source.length} characters: at most ${REGEX_LENGTH_MAX} are taken`);
    }
    this.source = source;
    this.#steps = compile(new Parser(source).parse());
    this.#seen = new Uint32Array(this.#steps.length);
  }

  /** Whether the whole of `text` matches. */
  matches(text: string): boolean {
    this.#current.length = 0;
    this.#round++;
    this.#enter(0, text, 0, this.#current);
    for (let at = 0; at < text.length && this.#current.length > 0; at++) {
      const code = text.charCodeAt(at);
      const next = this.#next;
      next.length = 0;
      this.#round++;
      for (const index of this.#current) {
        const step = this.#steps[index] as Step;
        if (step.is === "set" && within(step.ranges, code) !== step.negated) this.#enter(index + 1, text, at + 1, next);
      }
      this.#next = this.#current;
      this.#current = next;
    }
    const last = this.#steps.length - 1;
    return this.#current.includes(last);
  }

  /** Adds a step to the set, or where it leads without reading. Forks are at most as deep as there are steps. */
  #enter(index: number, text: string, at: number, set: number[]): void {
    const pending = [index];
    for (;;) {
      const one = pending.pop();
      if (one === undefined) return;
      if (this.#seen[one] === this.#round) continue;
      this.#seen[one] = this.#round;
      const step = this.#steps[one] as Step;
      if (step.is === "fork") pending.push(step.second, step.first);
      else if (step.is !== "assertion") set.push(one);
      else if (holds(step.what, text, at)) pending.push(one + 1);
    }
  }
}

function within(ranges: Ranges, code: number): boolean {
  for (let i = 0; i < ranges.length; i += 2) {
    if (code >= (ranges[i] as number) && code <= (ranges[i + 1] as number)) return true;
  }
  return false;
}

function holds(what: Assertion, text: string, at: number): boolean {
  if (what === "begin") return at === 0;
  if (what === "end") return at === text.length;
  const before = at > 0 && within(WORD, text.charCodeAt(at - 1));
  const after = at < text.length && within(WORD, text.charCodeAt(at));
  return (before !== after) === (what === "boundary");
}

/** Each node's steps stand where they are reached by falling through, and end where the next ones begin. */
function compile(node: Node): Step[] {
  const steps: Step[] = [];
  const push = (step: Step): number => {
    if (steps.length >= REGEX_STEPS_MAX) {
      throw new RegexError(`it comes to more than ${REGEX_STEPS_MAX} steps with its repetitions written out`);
    }
    return steps.push(step) - 1;
  };
  const fork = (): { is: "fork"; first: number; second: number } => {
    const step: Step = { is: "fork", first: 0, second: 0 };
    step.first = step.second = push(step) + 1;
    return step;
  };
  const emit = (part: Node): void => {
    switch (part.is) {
      case "set":
      case "assertion":
        push(part);
        return;
      case "sequence":
        for (const one of part.parts) emit(one);
        return;
      case "choice": {
        const exits: { first: number; second: number }[] = [];
        part.parts.forEach((one, i) => {
          if (i === part.parts.length - 1) {
            emit(one);
            return;
          }
          const branch = fork();
          emit(one);
          exits.push(fork());
          branch.second = steps.length;
        });
        for (const exit of exits) exit.first = exit.second = steps.length;
        return;
      }
      case "repeat": {
        for (let i = 0; i < part.min; i++) {
          const before = steps.length;
          emit(part.part);
          // Nothing, however often.
          if (steps.length === before) break;
        }
        if (part.max === Number.POSITIVE_INFINITY) {
          const start = steps.length;
          const loop = fork();
          emit(part.part);
          const back = fork();
          back.first = back.second = start;
          loop.second = steps.length;
          return;
        }
        const skips: { second: number }[] = [];
        for (let i = part.min; i < part.max; i++) {
          skips.push(fork());
          emit(part.part);
        }
        for (const skip of skips) skip.second = steps.length;
      }
    }
  };
  emit(node);
  push({ is: "match" });
  return steps;
}

class Parser {
  readonly #text: string;
  #at = 0;
  #depth = 0;
  #ignoreCase = false;
  #dotAll = false;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): Node {
    const node = this.#choice();
    if (this.#at < this.#text.length) throw this.#error("a ) that closes nothing");
    return node;
  }

  #error(found: string, hint = ""): RegexError {
    return new RegexError(`${found} at ${this.#at} of "${this.#text}"${hint === "" ? "" : `: ${hint}`}`);
  }

  #take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #choice(): Node {
    const parts = [this.#sequence()];
    while (this.#take("|")) parts.push(this.#sequence());
    return parts.length === 1 ? (parts[0] as Node) : { is: "choice", parts };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    while (this.#at < this.#text.length && this.#text[this.#at] !== "|" && this.#text[this.#at] !== ")") {
      const literal = this.#quoted();
      if (literal !== undefined) {
        const last = literal.pop();
        parts.push(...literal);
        if (last !== undefined) parts.push(this.#repeated(last));
        continue;
      }
      const part = this.#part();
      if (part !== undefined) parts.push(this.#repeated(part));
    }
    return parts.length === 1 ? (parts[0] as Node) : { is: "sequence", parts };
  }

  /** \Q…\E */
  #quoted(): Node[] | undefined {
    if (!this.#take("\\Q")) return undefined;
    const end = this.#text.indexOf("\\E", this.#at);
    const literal = this.#text.slice(this.#at, end < 0 ? undefined : end);
    this.#at = end < 0 ? this.#text.length : end + 2;
    return Array.from({ length: literal.length }, (_, i) => this.#literal(literal.charCodeAt(i)));
  }

  /** One thing that may be repeated; undefined for flags, which stand for nothing. */
  #part(): Node | undefined {
    const character = this.#text[this.#at] as string;
    switch (character) {
      case "(":
        return this.#group();
      case "[":
        return this.#class();
      case "\\":
        return this.#escape();
      case "*":
      case "+":
      case "?":
        throw this.#error(`a ${character} that repeats nothing`);
      case ".":
        this.#at++;
        return this.#dotAll
          ? { is: "set", ranges: EVERYTHING, negated: false }
          : { is: "set", ranges: [0x0a, 0x0a], negated: true };
      case "^":
        this.#at++;
        return { is: "assertion", what: "begin" };
      case "$":
        this.#at++;
        return { is: "assertion", what: "end" };
      default:
        this.#at++;
        return this.#literal(character.charCodeAt(0));
    }
  }

  #repeated(part: Node): Node {
    const [min, max] = this.#counts() ?? [];
    if (min === undefined || max === undefined) return part;
    // Whether as few or as many as possible makes no difference to whether the whole matches.
    this.#take("?");
    if (/^[*+?]/.test(this.#text.slice(this.#at, this.#at + 1)) || this.#countsAhead() !== undefined) {
      throw this.#error("a repetition of a repetition", "put the first into (?:…)");
    }
    return { is: "repeat", part, min, max };
  }

  #counts(): readonly [number, number] | undefined {
    if (this.#take("*")) return [0, Number.POSITIVE_INFINITY];
    if (this.#take("+")) return [1, Number.POSITIVE_INFINITY];
    if (this.#take("?")) return [0, 1];
    const match = this.#countsAhead();
    if (match === undefined) return undefined;
    const min = Number(match[1]);
    const max = match[2] === undefined ? min : match[2] === "," ? Number.POSITIVE_INFINITY : Number(match[2].slice(1));
    if (min > REPEAT_MAX || (max > REPEAT_MAX && max !== Number.POSITIVE_INFINITY) || max < min) {
      throw this.#error(`the repetition ${match[0]}`, `counts go from 0 to ${REPEAT_MAX}, the smaller one first`);
    }
    this.#at += match[0].length;
    return [min, max];
  }

  /** As in RE2, a brace that begins no count is a brace. */
  #countsAhead(): RegExpExecArray | undefined {
    return /^\{([0-9]{1,9})(,[0-9]{0,9})?\}/.exec(this.#text.slice(this.#at, this.#at + 24)) ?? undefined;
  }

  #group(): Node | undefined {
    const ignoreCase = this.#ignoreCase;
    const dotAll = this.#dotAll;
    const rest = this.#text.slice(this.#at);
    if (/^\(\?<?[=!]/.test(rest)) throw this.#error("look-around", "RE2 has none");
    const flags = /^\(\?([imsU]*)(?:-([imsU]+))?([:)])/.exec(rest);
    if (flags !== null) {
      this.#setFlags(flags[1] ?? "", flags[2] ?? "");
      this.#at += flags[0].length;
      if (flags[3] === ")") return undefined;
    } else if (rest.startsWith("(?")) {
      const name = /^\(\?P?<[A-Za-z_][A-Za-z0-9_]*>/.exec(rest);
      if (name === null)
        throw this.#error(`the group "${rest.slice(0, 4)}"`, "(…), (?:…), (?P<name>…) and (?i) are known");
      this.#at += name[0].length;
    } else {
      this.#at++;
    }
    if (++this.#depth > DEPTH_MAX) throw this.#error(`more than ${DEPTH_MAX} groups in each other`);
    const node = this.#choice();
    this.#depth--;
    if (!this.#take(")")) throw this.#error("a ( that is not closed");
    this.#ignoreCase = ignoreCase;
    this.#dotAll = dotAll;
    return node;
  }

  #setFlags(on: string, off: string): void {
    if (/[mU]/.test(on + off)) throw this.#error("the flag m or U", "only i and s are known");
    if (on.includes("i")) this.#ignoreCase = true;
    if (on.includes("s")) this.#dotAll = true;
    if (off.includes("i")) this.#ignoreCase = false;
    if (off.includes("s")) this.#dotAll = false;
  }

  #literal(code: number): Node {
    return { is: "set", ranges: this.#folded([code, code]), negated: false };
  }

  /** With the other case of the letters in it, if case is ignored: those of ASCII. */
  #folded(ranges: Ranges): Ranges {
    if (!this.#ignoreCase) return ranges;
    const folded = [...ranges];
    for (let i = 0; i < ranges.length; i += 2) {
      const first = ranges[i] as number;
      const last = ranges[i + 1] as number;
      if (first <= 0x5a && last >= 0x41) folded.push(Math.max(first, 0x41) + 0x20, Math.min(last, 0x5a) + 0x20);
      if (first <= 0x7a && last >= 0x61) folded.push(Math.max(first, 0x61) - 0x20, Math.min(last, 0x7a) - 0x20);
    }
    return folded;
  }

  #escape(): Node {
    const character = this.#text.slice(this.#at + 1, this.#at + 2);
    const shorthand = this.#shorthand();
    if (shorthand !== undefined) return { is: "set", ...shorthand };
    switch (character) {
      case "A":
        this.#at += 2;
        return { is: "assertion", what: "begin" };
      case "z":
        this.#at += 2;
        return { is: "assertion", what: "end" };
      case "b":
        this.#at += 2;
        return { is: "assertion", what: "boundary" };
      case "B":
        this.#at += 2;
        return { is: "assertion", what: "no-boundary" };
      default:
        return this.#literal(this.#escapedCode());
    }
  }

  /** \d \w \s and their opposites. */
  #shorthand(): { readonly ranges: Ranges; readonly negated: boolean } | undefined {
    const character = this.#text[this.#at + 1] ?? "";
    const ranges = { d: DIGIT, w: WORD, s: SPACE }[character.toLowerCase()];
    if (ranges === undefined || this.#text[this.#at] !== "\\") return undefined;
    this.#at += 2;
    return { ranges, negated: character !== character.toLowerCase() };
  }

  #escapedCode(): number {
    const rest = this.#text.slice(this.#at, this.#at + 8);
    const hex = /^\\x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,4})\})/.exec(rest);
    if (hex !== null) {
      this.#at += hex[0].length;
      return Number.parseInt(hex[1] ?? hex[2] ?? "", 16);
    }
    const character = rest[1];
    if (character === undefined) throw this.#error("a \\ with nothing behind it");
    if (/[1-9]/.test(character)) throw this.#error("a back-reference", "RE2 has none");
    const control = ESCAPED[character];
    if (control === undefined && /[A-Za-z0-9]/.test(character)) {
      throw this.#error(`the escape \\${character}`, "RE2's are known, but for \\p, \\P, \\C and octal numbers");
    }
    this.#at += 2;
    return control ?? character.charCodeAt(0);
  }

  #class(): Node {
    const start = this.#at++;
    const negated = this.#take("^");
    const ranges: number[] = [];
    for (let first = true; first || this.#text[this.#at] !== "]"; first = false) {
      if (this.#at >= this.#text.length) {
        this.#at = start;
        throw this.#error("a [ that is not closed");
      }
      this.#member(ranges);
    }
    this.#at++;
    return { is: "set", ranges: this.#folded(ranges), negated };
  }

  #member(ranges: number[]): void {
    const named = /^\[:(\^?)([a-z]+):\]/.exec(this.#text.slice(this.#at, this.#at + 16));
    if (named !== null) {
      const known = NAMED[named[2] ?? ""];
      if (known === undefined) throw this.#error(`the class ${named[0]}`, `known are ${Object.keys(NAMED).join(", ")}`);
      this.#at += named[0].length;
      ranges.push(...(named[1] === "" ? known : complement(known)));
      return;
    }
    const shorthand = this.#shorthand();
    if (shorthand !== undefined) {
      ranges.push(...(shorthand.negated ? complement(shorthand.ranges) : shorthand.ranges));
      return;
    }
    const first = this.#memberCode();
    let last = first;
    if (this.#text[this.#at] === "-" && this.#text[this.#at + 1] !== "]" && this.#at + 1 < this.#text.length) {
      this.#at++;
      last = this.#memberCode();
    }
    if (last < first) throw this.#error("a range that goes down");
    ranges.push(first, last);
  }

  #memberCode(): number {
    if (this.#text[this.#at] === "\\") return this.#escapedCode();
    return this.#text.charCodeAt(this.#at++);
  }
}

/** All other code units. */
function complement(ranges: Ranges): number[] {
  const sorted = Array.from(
    { length: ranges.length / 2 },
    (_, i) => [ranges[2 * i] ?? 0, ranges[2 * i + 1] ?? 0] as const,
  );
  sorted.sort((a, b) => a[0] - b[0]);
  const rest: number[] = [];
  let from = 0;
  for (const [first, last] of sorted) {
    if (first > from) rest.push(from, first - 1);
    from = Math.max(from, last + 1);
  }
  if (from <= 0xffff) rest.push(from, 0xffff);
  return rest;
}
