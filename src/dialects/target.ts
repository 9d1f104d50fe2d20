/** What a policy is compiled for: one workload, and what the mesh says of all. */
import { CLUSTER_NETWORKS, type DefaultPolicy, type ExternalAuthorizer } from "../model/inbound-policy.ts";
import { DEFAULT_TRUST_DOMAIN } from "../model/identity.ts";

export interface PolicyTarget {
  /** Of the workload: "price-1". */
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  /** "": it has no identity. */
  readonly serviceAccount: string;
  readonly ports: readonly PolicyPort[];
}

export interface PolicyPort {
  /** The service that it serves. */
  readonly service: string;
  /** Of the service's port. */
  readonly name: string;
  /** The port that callers say. */
  readonly port: number;
  /** Where the application listens; 0 if nobody knows. */
  readonly appPort: number;
}

export interface PolicySettings {
  readonly trustDomain: string;
  /** What decides where no document says anything. */
  readonly defaultPolicy: DefaultPolicy;
  /** Istio's: policies in it are about all namespaces. */
  readonly rootNamespace: string;
  readonly clusterNetworks: readonly string[];
  /** What Istio's CUSTOM policies may name. */
  readonly providers: readonly ExternalAuthorizer[];
}

/** Istio's (meshConfig.rootNamespace). */
export const DEFAULT_ROOT_NAMESPACE = "istio-system";

export const defaultPolicySettings: PolicySettings = {
  trustDomain: DEFAULT_TRUST_DOMAIN,
  defaultPolicy: "all-unauthenticated",
  rootNamespace: DEFAULT_ROOT_NAMESPACE,
  clusterNetworks: CLUSTER_NETWORKS,
  providers: [],
};

/**
 * The service ports that a document means by a number or a name. A number is the application's port where the workload
 * has such a one, as in Kubernetes; else the port that callers say, since an application that `heddle up` starts has a
 * port that nobody knows before.
 */
export function portsMeant(target: PolicyTarget, written: number | string): readonly number[] {
  const found =
    typeof written === "string"
      ? target.ports.filter(({ name }) => name === written)
      : (nonEmpty(target.ports.filter(({ appPort }) => appPort === written)) ??
        target.ports.filter(({ port }) => port === written));
  return [...new Set(found.map(({ port }) => port))];
}

/**
 * The same, to be enforced: a number that is no port of the workload is that of a port which nobody has told the mesh of.
 * Captured connections come in there all the same, and are judged by that number.
 */
export function portsEnforced(target: PolicyTarget, written: number | string): readonly number[] {
  const meant = portsMeant(target, written);
  return meant.length > 0 || typeof written === "string" ? meant : [written];
}

function nonEmpty<T>(values: readonly T[]): readonly T[] | undefined {
  return values.length > 0 ? values : undefined;
}
