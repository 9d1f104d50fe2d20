/** A field that somebody wants to be in a message. */
import type { HeaderList } from "../../protocol/exchange.ts";
import { nameEquals, removeHeader } from "../../protocol/headers.ts";

export interface FieldChange {
  /** In lower case. */
  readonly name: string;
  readonly value: string;
  readonly how: "add" | "add-if-absent" | "set" | "set-if-present";
}

/** Changes fields in place. */
export function changeFields(headers: HeaderList, changes: readonly FieldChange[]): void {
  for (const { name, value, how } of changes) {
    const there = headers.some((field, i) => i % 2 === 0 && nameEquals(field, name));
    if (how === "add-if-absent" && there) continue;
    if (how === "set-if-present" && !there) continue;
    if (how !== "add") removeHeader(headers, name);
    headers.push(name, value);
  }
}
