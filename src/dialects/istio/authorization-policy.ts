/** Istio's AuthorizationPolicy: which calls some workloads take (security.istio.io). */
import { kubernetesDocument, matchLabels } from "../kubernetes.ts";
import { defaulted, list, mapping, type Node, oneOf, optional, orEmpty, refused, required, text } from "../shape.ts";
import { rule, type RuleText } from "./authorization-rules.ts";

export type IstioAction = "ALLOW" | "DENY" | "AUDIT" | "CUSTOM";

export interface AuthorizationPolicy {
  /** Empty: every workload of the namespace, or in the root namespace of the mesh. */
  readonly selector: Readonly<Record<string, string>>;
  readonly action: IstioAction;
  /** Of CUSTOM; else "". */
  readonly provider: string;
  readonly rules: readonly { readonly line: number; readonly rule: RuleText }[];
  /** Evaluated and reported, never enforced. */
  readonly dryRun: boolean;
}

const NO_GATEWAYS = "it attaches to gateways and waypoints, which Heddle does not have; use selector";

const spec = mapping(
  {
    selector: optional(matchLabels),
    targetRef: refused(NO_GATEWAYS),
    targetRefs: refused(NO_GATEWAYS),
    action: defaulted(oneOf(["ALLOW", "DENY", "AUDIT", "CUSTOM"]), "ALLOW"),
    provider: optional(mapping({ name: required(text("the name of a provider")) })),
    rules: defaulted(list("a list of rules", rule), []),
  },
  ({ action, provider, rules }, node) => {
    if (action === "CUSTOM" && provider === undefined) node.at("provider").unexpected("the provider that CUSTOM asks");
    if (action !== "CUSTOM" && provider !== undefined) {
      node.at("provider").error(`${action} asks no provider`, "write action: CUSTOM, or leave it out", "key");
    }
    if (action === "ALLOW" || rules.length > 0) return;
    node.at("action").warning(`${action} without rules is about no call`, "rules: [{}] is about every call");
  },
);

export const authorizationPolicy = kubernetesDocument(
  { spec: orEmpty(spec) },
  ({ spec: { selector, action, provider, rules } }, node, { annotations }): AuthorizationPolicy => ({
    selector: selector?.matchLabels ?? {},
    action,
    provider: provider?.name ?? "",
    rules: rules.map((one, i) => ({ line: node.at("spec", "rules", i).line, rule: one })),
    dryRun: dryRun(annotations, action, node),
  }),
);

function dryRun(annotations: Readonly<Record<string, string>>, action: IstioAction, node: Node): boolean {
  const written = annotations["istio.io/dry-run"];
  if (written === undefined) return false;
  const at = node.at("metadata", "annotations", "istio.io/dry-run");
  if (written !== "true" && written !== "false") at.unexpected('"true" or "false"');
  else if (written === "true" && action !== "ALLOW" && action !== "DENY") {
    at.error(`a dry run is for ALLOW and DENY; found ${action}`);
  }
  return written === "true";
}
