/** Patterns of text, made ready. */
import type { TextPattern } from "../model/inbound-policy.ts";
import { Regex } from "../model/regex.ts";

/** Characters of a text that expressions are tried on; with longer ones it is not known whether they match. */
export const REGEX_TEXT_MAX = 8_192;

/** undefined: it cannot be known. */
export type TextMatcher = (text: string) => boolean | undefined;

/** How the patterns and the texts of a place are brought together. */
export interface TextRules {
  /** Applied to what is written in patterns: the texts are so already. */
  readonly prepare: (value: string) => string;
  readonly ignoreCase: boolean;
}

/** Texts of JSON and certificates. */
export const AS_WRITTEN: TextRules = { prepare: (value) => value, ignoreCase: false };

/** Texts off the wire are octets. */
export function wireText(value: string): string {
  // oxlint-disable-next-line no-control-regex -- ASCII
  return /^[\0-\x7f]*$/.test(value) ? value : Buffer.from(value, "utf8").toString("latin1");
}

/** @throws RegexError */
export function matcherOf(pattern: TextPattern, rules: TextRules): TextMatcher {
  switch (pattern.kind) {
    case "present":
      return (text) => text !== "";
    case "regex": {
      const regex = new Regex(rules.ignoreCase ? `(?i:${wireText(pattern.value)})` : wireText(pattern.value));
      return (text) => (text.length > REGEX_TEXT_MAX ? undefined : regex.matches(text));
    }
    case "template": {
      const regex = templateRegex(rules.prepare(pattern.value));
      return (text) => (text.length > REGEX_TEXT_MAX ? undefined : regex.matches(text));
    }
    case "exact":
    case "prefix":
    case "suffix":
    case "contains": {
      const value = rules.prepare(pattern.value);
      if (!rules.ignoreCase && pattern.ignoreCase !== true) return compare[pattern.kind](value);
      const matcher = compare[pattern.kind](value.toLowerCase());
      return (text) => matcher(text.toLowerCase());
    }
  }
}

const compare = {
  exact: (value: string) => (text: string) => text === value,
  prefix: (value: string) => (text: string) => text.startsWith(value),
  suffix: (value: string) => (text: string) => text.endsWith(value),
  contains: (value: string) => (text: string) => text.includes(value),
};

/** `{*}` is one segment that is not empty, `{**}` any number of characters, slashes among them (Envoy's URI templates). */
function templateRegex(template: string): Regex {
  const parts = template.split(/(\{\*\*?\})/);
  return new Regex(
    parts.map((part) => (part === "{*}" ? "[^/]+" : part === "{**}" ? ".*" : escapeRegex(part))).join(""),
  );
}

function escapeRegex(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

/** Any of the matchers holds. @returns undefined: none does, as far as can be known */
export function anyMatch(matchers: readonly TextMatcher[], text: string): boolean | undefined {
  let known = true;
  for (const matcher of matchers) {
    const result = matcher(text);
    if (result === true) return true;
    if (result === undefined) known = false;
  }
  return known ? false : undefined;
}
