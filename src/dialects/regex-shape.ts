/** Regular expressions in documents: RE2's syntax, which is checked by what will evaluate them. */
import { Regex, REGEX_LENGTH_MAX, RegexError } from "../model/regex.ts";
import { type Shape, text } from "./shape.ts";

/** @param inner what is really compiled of what is written */
export function regexText(what: string, inner: (written: string) => string = (written) => written): Shape<string> {
  const plain = text(what, /./s, REGEX_LENGTH_MAX);
  return {
    read(node) {
      const read = plain.read(node);
      if (read === undefined) return undefined;
      try {
        void new Regex(inner(read.value));
        return read;
      } catch (error) {
        if (!(error instanceof RegexError)) throw error;
        node.error(`not a regular expression of RE2: ${error.message}`);
        return undefined;
      }
    },
  };
}
