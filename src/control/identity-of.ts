/** Whose a workload is. */
import { spiffeId } from "../model/identity.ts";
import { workloadKey } from "../model/workload.ts";

/** What the control plane knows of identities. */
export interface Identities {
  readonly trustDomain: string;
  /** By {@link workloadKey}, the SPIFFE ids that living sidecars have proved, whether they are registered or not. */
  readonly certified: ReadonlyMap<string, string>;
}

/**
 * What its sidecar has proved goes before what somebody has registered.
 *
 * @param serviceAccount as registered; "" for none
 * @returns a SPIFFE id; "" for none
 */
export function identityOf(
  workload: { readonly namespace: string; readonly name: string },
  serviceAccount: string,
  { trustDomain, certified }: Identities,
): string {
  const proved = certified.get(workloadKey(workload));
  if (proved !== undefined) return proved;
  return serviceAccount === "" ? "" : spiffeId({ trustDomain, namespace: workload.namespace, serviceAccount });
}
