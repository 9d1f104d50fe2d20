/**
 * Who a workload is: a SPIFFE id (spiffe.io, SPIFFE-ID §2), and the same in the form that Linkerd gives to names in
 * certificates, so that documents written for either match.
 */

/** Of a mesh that says nothing else: Linkerd's and Istio's default. */
export const DEFAULT_TRUST_DOMAIN = "cluster.local";
/** The service account of a workload that says nothing else. */
export const DEFAULT_SERVICE_ACCOUNT = "default";

/** Where the control plane's own identity stands; no join token is ever made for it. */
export const CONTROL_NAMESPACE = "heddle";
export const CONTROL_SERVICE_ACCOUNT = "heddle-control";

export interface WorkloadIdentity {
  /** A DNS name in lower case: "cluster.local". */
  readonly trustDomain: string;
  /** DNS labels. */
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** Whether it may be one: a DNS subdomain name, as Kubernetes has them (RFC 1123). */
export function isServiceAccount(text: string): boolean {
  return text.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(text);
}

/** "spiffe://cluster.local/ns/shop/sa/price" */
export function spiffeId({ trustDomain, namespace, serviceAccount }: WorkloadIdentity): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
}

/** Whether a name may be Linkerd's of a workload, as {@link linkerdName} gives it, of whatever trust domain. */
export function isLinkerdName(text: string): boolean {
  return text.includes(".serviceaccount.identity.linkerd.");
}

/** Takes one of ours apart; undefined if it is none of this form. */
export function parseSpiffeId(text: string): WorkloadIdentity | undefined {
  const match = /^spiffe:\/\/([a-z0-9._-]{1,255})\/ns\/([a-z0-9-]{1,63})\/sa\/([a-z0-9.-]{1,253})$/.exec(text);
  if (match === null) return undefined;
  const [, trustDomain = "", namespace = "", serviceAccount = ""] = match;
  return { trustDomain, namespace, serviceAccount };
}

/**
 * "price.shop.serviceaccount.identity.linkerd.cluster.local": Linkerd's name of the same workload. It is also what a
 * sidecar says in the TLS server name when it means this workload's sidecar, and not TLS of the application's own.
 */
export function linkerdName({ trustDomain, namespace, serviceAccount }: WorkloadIdentity): string {
  return `${serviceAccount}.${namespace}.serviceaccount.identity.linkerd.${trustDomain}`;
}

/** Who the control plane of a mesh is. */
export function controlIdentity(trustDomain: string): WorkloadIdentity {
  return { trustDomain, namespace: CONTROL_NAMESPACE, serviceAccount: CONTROL_SERVICE_ACCOUNT };
}
