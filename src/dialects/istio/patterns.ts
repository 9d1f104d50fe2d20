/** How Istio's documents write texts to be compared: "abc", "abc*", "*abc", "*"; paths also with "{*}" and "{**}". */
import type { TextPattern } from "../../model/inbound-policy.ts";
import { type Shape, text } from "../shape.ts";

/** The star is a wildcard at one end only, and everything else is taken as it is. */
export function istioPattern(value: string): TextPattern {
  if (value === "*") return { kind: "present" };
  if (value.startsWith("*")) return { kind: "suffix", value: value.slice(1) };
  if (value.endsWith("*")) return { kind: "prefix", value: value.slice(0, -1) };
  return { kind: "exact", value };
}

/** Host names, whose case does not matter. */
export function hostPattern(value: string): TextPattern {
  const pattern = istioPattern(value);
  return "value" in pattern && pattern.kind !== "regex" && pattern.kind !== "template"
    ? { ...pattern, ignoreCase: true }
    : pattern;
}

export function pathPattern(value: string): TextPattern {
  return isTemplate(value) ? { kind: "template", value } : istioPattern(value);
}

function isTemplate(value: string): boolean {
  return value.includes("{") || value.includes("}");
}

/** Characters of a template: it becomes a regular expression, which has bounds of its own. */
export const TEMPLATE_LENGTH_MAX = 256;

const path = text("a path, with a star at one end at most, or a template");

/** Envoy's rules of templates: a wildcard is a whole segment, and nothing comes behind "{**}" but text. */
export const pathText: Shape<string> = {
  read(node) {
    const read = path.read(node);
    if (read === undefined || !isTemplate(read.value)) return read;
    const { value } = read;
    const segments = value.split("/");
    const wrong = segments.find((segment) => /[{}*]/.test(segment) && segment !== "{*}" && segment !== "{**}");
    if (value.length > TEMPLATE_LENGTH_MAX) {
      return node.unexpected(`a template of at most ${TEMPLATE_LENGTH_MAX} characters`);
    }
    if (!value.startsWith("/")) return node.unexpected('a template that begins with "/"');
    if (wrong !== undefined) return node.unexpected('a template in which "{*}" and "{**}" stand for whole segments');
    const [first, ...more] = segments.flatMap((segment, i) => (segment === "{**}" ? [i] : []));
    const behind = first !== undefined && segments.slice(first).includes("{*}");
    if (more.length > 0 || behind) return node.unexpected('a template with "{**}" once, and no "{*}" behind it');
    return read;
  },
};
