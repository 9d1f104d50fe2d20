/** How long certificates live, as the commands that start a control plane are told. */
import { parseDuration } from "../values.ts";

export const LIFETIME_FLAG = {
  "identity-lifetime": {
    type: "string",
    value: "DURATION",
    default: "24h",
    help: "How long a sidecar's certificate is good for, 10s to 8760h; it is renewed after 70 % of that",
  },
} as const;

/** @returns milliseconds @throws UsageError */
export function parseLifetime(text: string): number {
  return parseDuration("--identity-lifetime", text, ["10s", "8760h"]);
}
