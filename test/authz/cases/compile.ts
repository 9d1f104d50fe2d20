import assert from "node:assert/strict";

import { compileInboundPolicy } from "../../../src/dialects/compile-inbound.ts";
import { parseResources } from "../../../src/dialects/registry.ts";
import { resourceSet } from "../../../src/dialects/resource-set.ts";
import { defaultPolicySettings } from "../../../src/dialects/target.ts";
import type { InboundPolicy } from "../../../src/model/inbound-policy.ts";
import { type AuthzGroup, PRICE } from "./case.ts";

/** What the sidecar of a group's workload is told. @param authorizer where the providers are, "host:port" */
export function policyOf(group: AuthzGroup, authorizer = "127.0.0.1:1"): InboundPolicy {
  const parsed = parseResources(group.documents, "case.yaml");
  const { resources, diagnostics } = resourceSet(parsed.resources);
  const errors = [...parsed.diagnostics, ...diagnostics].filter(({ severity }) => severity === "error");
  assert.deepEqual(errors, []);
  const { defaultPolicy = defaultPolicySettings.defaultPolicy, providers = [] } = group;
  return compileInboundPolicy(resources, group.target ?? PRICE, {
    ...defaultPolicySettings,
    defaultPolicy,
    providers: providers.map((name) => ({ name, address: authorizer, timeoutMs: 5_000, failOpen: false })),
  });
}
