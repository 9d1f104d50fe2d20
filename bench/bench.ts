/** What every kind of measurement gets. */
import type { Options } from "./options.ts";
import type { Backends } from "./subjects/backend.ts";
import type { Tools } from "./tools.ts";

export interface Bench {
  readonly options: Options;
  readonly tools: Tools;
  /** For generated configuration; removed at the end. */
  readonly folder: string;
  readonly backends: Backends;
  /** One short line about what is going on. */
  readonly progress: (text: string) => void;
}
