/** Where the state of the world comes from, as `/api/v1/sources` shows it. */
import type { Diagnostic } from "../../dialects/diagnostic.ts";

export interface SourceStatus {
  /** Unique: the path of a file, "registrations", or "policies". */
  readonly name: string;
  readonly kind: "file" | "resources" | "registry" | "policies";
  /** "bad": what is in force is older than what the source says now. */
  readonly state: "ok" | "bad";
  /** When what is in force was read, ISO 8601; null: never yet. */
  readonly loadedAt: string | null;
  readonly diagnostics: readonly Diagnostic[];
  /** What is wrong and stands in no one place of a file. */
  readonly problems?: readonly string[];
}
