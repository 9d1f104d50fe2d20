/** SMI's TrafficTarget: which service accounts may send what traffic to another (access.smi-spec.io). */
import { kubernetesDocument, namespaceName, resourceName } from "../kubernetes.ts";
import { defaulted, integer, list, mapping, oneOf, optional, required, type Shape, text } from "../shape.ts";

export interface TrafficTarget {
  readonly destination: Account;
  /** The application's; undefined for all. */
  readonly port: number | undefined;
  /** Any of them; empty: all traffic. */
  readonly rules: readonly TrafficRule[];
  readonly sources: readonly Account[];
}

export interface Account {
  readonly name: string;
  /** undefined: that of the document. */
  readonly namespace: string | undefined;
}

export interface TrafficRule {
  readonly kind: "HTTPRouteGroup" | "TCPRoute";
  readonly name: string;
  /** Names of an HTTPRouteGroup's matches; empty for all. */
  readonly matches: readonly string[];
  readonly line: number;
}

const account = {
  kind: required(oneOf(["ServiceAccount"])),
  name: required(resourceName),
  namespace: optional(namespaceName),
};

const source = mapping(account);
const destination = mapping(account);
const destinationWithPort = mapping({ ...account, port: optional(integer(1, 65_535, "a port number, 1 to 65535")) });

const ruleKind: Shape<TrafficRule["kind"]> = {
  read(node) {
    if (node.value !== "UDPRoute") return oneOf(["HTTPRouteGroup", "TCPRoute"]).read(node);
    node.error("not supported: UDPRoute, for Heddle carries TCP");
    return undefined;
  },
};

const rule = mapping(
  {
    kind: required(ruleKind),
    name: required(resourceName),
    matches: defaulted(list("a list of the names of matches", text("the name of a match")), []),
  },
  ({ kind, matches }, node) => {
    if (kind === "TCPRoute" && matches.length > 0)
      node.at("matches").error("a TCPRoute has no matches with names", "", "key");
  },
);

const rules = defaulted(list("a list of rules", rule), []);
const sources = required(list("a list of service accounts", source));

/** Since v1alpha3 a destination has no port; TCPRoute says it. */
export const trafficTarget = kubernetesDocument(
  { spec: required(mapping({ destination: required(destination), rules, sources })) },
  ({ spec }, node): TrafficTarget => ({
    destination: spec.destination,
    port: undefined,
    rules: spec.rules.map((one, i) => ({ ...one, line: node.at("spec", "rules", i).line })),
    sources: spec.sources,
  }),
);

export const trafficTargetV1alpha2 = kubernetesDocument(
  { spec: required(mapping({ destination: required(destinationWithPort), rules, sources })) },
  ({ spec }, node): TrafficTarget => ({
    destination: spec.destination,
    port: spec.destination.port,
    rules: spec.rules.map((one, i) => ({ ...one, line: node.at("spec", "rules", i).line })),
    sources: spec.sources,
  }),
);

/** Its fields stood beside the metadata, and its rules were called specs. */
export const trafficTargetV1alpha1 = kubernetesDocument(
  { destination: required(destinationWithPort), specs: rules, sources },
  (value, node): TrafficTarget => ({
    destination: value.destination,
    port: value.destination.port,
    rules: value.specs.map((one, i) => ({ ...one, line: node.at("specs", i).line })),
    sources: value.sources,
  }),
);
