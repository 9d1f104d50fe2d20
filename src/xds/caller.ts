import { type ContextKey, createContextKey } from "@connectrpc/connect";

import type { WorkloadIdentity } from "../model/identity.ts";

/** Who opened a stream, proved by a certificate; undefined where nobody has to prove it. */
export const callerIdentity: ContextKey<WorkloadIdentity | undefined> = createContextKey<WorkloadIdentity | undefined>(
  undefined,
  { description: "the identity of the caller" },
);
