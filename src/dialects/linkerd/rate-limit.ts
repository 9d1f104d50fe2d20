/** Linkerd's HTTPLocalRateLimitPolicy: how many requests each instance behind a Server takes. */
import { kubernetesDocument } from "../kubernetes.ts";
import { defaulted, integer, list, mapping, optional, required } from "../shape.ts";
import { localReference, reference, type Reference } from "./references.ts";

export interface HttpLocalRateLimit {
  readonly server: string;
  /** Requests per second; 0: no limit. */
  readonly total: number;
  readonly identity: number;
  readonly overrides: readonly { readonly requestsPerSecond: number; readonly clients: readonly Reference[] }[];
}

const rate = integer(1, 4_294_967_295, "requests per second, at least 1");
const limit = mapping({ requestsPerSecond: required(rate) });

const override = mapping({
  requestsPerSecond: required(rate),
  clientRefs: required(list("a list of service accounts", reference(["core/ServiceAccount"]), { min: 1 })),
});

const spec = mapping(
  {
    targetRef: required(localReference(["policy.linkerd.io/Server"])),
    total: optional(limit),
    identity: optional(limit),
    overrides: defaulted(list("a list of overrides", override), []),
  },
  ({ total, identity, overrides }, node) => {
    if (total === undefined && identity === undefined && overrides.length === 0) {
      node.error("expected at least one of total, identity and overrides; found none");
    }
    if (total === undefined) return;
    const most = total.requestsPerSecond;
    const check = (value: number, at: (string | number)[]): void => {
      if (value > most) node.at(...at, "requestsPerSecond").error(`${value} is more than the total of ${most}`);
    };
    if (identity !== undefined) check(identity.requestsPerSecond, ["identity"]);
    overrides.forEach(({ requestsPerSecond }, i) => check(requestsPerSecond, ["overrides", i]));
  },
);

export const httpLocalRateLimit = kubernetesDocument(
  { spec: required(spec) },
  ({ spec: { targetRef, total, identity, overrides } }): HttpLocalRateLimit => ({
    server: targetRef.name,
    total: total?.requestsPerSecond ?? 0,
    identity: identity?.requestsPerSecond ?? 0,
    overrides: overrides.map(({ requestsPerSecond, clientRefs }) => ({ requestsPerSecond, clients: clientRefs })),
  }),
);
