/** Linkerd's Server: ports of some workloads, which authorizations may name (policy.linkerd.io). */
import { DEFAULT_POLICIES, type DefaultPolicy } from "../../model/inbound-policy.ts";
import { kubernetesDocument, type LabelSelector, labelSelector } from "../kubernetes.ts";
import { defaulted, mapping, type Node, noted, oneOf, refused, required, type Shape } from "../shape.ts";

export interface Server {
  readonly podSelector: LabelSelector;
  /** The number or the name of a port. */
  readonly port: number | string;
  /** What decides about calls that no authorization allows. */
  readonly accessPolicy: DefaultPolicy;
}

const PROTOCOLS = ["unknown", "HTTP/1", "HTTP/2", "gRPC", "opaque", "TLS"] as const;
const PORT = "a port number, 1 to 65535, or the name of a port";

const port: Shape<number | string> = {
  read(node) {
    const { value } = node;
    if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65_535) return { value };
    const named = typeof value === "string" && /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(value);
    if (named && /[a-z]/.test(value)) return { value };
    return node.unexpected(PORT, typeof value === "string" && /^\d+$/.test(value) ? "write it without quotes" : "");
  },
};

function fields<A>(accessPolicy: A) {
  return {
    podSelector: required(labelSelector),
    externalWorkloadSelector: refused("Heddle has no ExternalWorkload; give the workload labels and use podSelector"),
    port: required(port),
    proxyProtocol: noted(defaulted(oneOf(PROTOCOLS), "unknown")),
    accessPolicy,
  };
}

function warnOfProtocol({ proxyProtocol }: { readonly proxyProtocol: (typeof PROTOCOLS)[number] }, node: Node): void {
  if (proxyProtocol === "unknown") return;
  const hint = 'say it by "protocol" of the port in mesh.yaml, or leave it to detection';
  node.at("proxyProtocol").warning(`"${proxyProtocol}" is not taken from here`, hint, "key");
}

const accessPolicy = defaulted(oneOf(DEFAULT_POLICIES), "deny");
const toServer = (value: { readonly spec: Server }): Server => {
  const { podSelector, port: meant, accessPolicy: decides } = value.spec;
  return { podSelector, port: meant, accessPolicy: decides };
};

export const server = kubernetesDocument({ spec: required(mapping(fields(accessPolicy), warnOfProtocol)) }, toServer);

/** Before v1beta3 a Server had no accessPolicy. */
const older = defaulted(absentAccessPolicy(), "deny");
export const olderServer = kubernetesDocument({ spec: required(mapping(fields(older), warnOfProtocol)) }, toServer);

function absentAccessPolicy(): Shape<DefaultPolicy> {
  return {
    read(node) {
      node.error("not supported: accessPolicy came with policy.linkerd.io/v1beta3", "write that version", "key");
      return undefined;
    },
  };
}
