/**
 * The policies of all workloads, compiled when somebody asks and kept while neither the workload nor what they are made
 * of has changed: a mesh is built up to twenty times a second, and its documents hardly ever change.
 */
import { isDeepStrictEqual } from "node:util";

import { compileInboundPolicy } from "../dialects/compile-inbound.ts";
import { DEFAULT_ROOT_NAMESPACE, type PolicySettings, type PolicyTarget } from "../dialects/target.ts";
import type { MeshFilePolicy } from "../dialects/mesh/mesh-file.ts";
import { CLUSTER_NETWORKS, type InboundPolicy } from "../model/inbound-policy.ts";
import { type Workload, type WorkloadKey, workloadKey } from "../model/workload.ts";
import { compilePolicy } from "../policy/policy.ts";
import type { Logger } from "../telemetry/log.ts";
import type { PolicyBasis } from "./sources/resource-source.ts";
import type { SourceStatus } from "./sources/source.ts";

interface Kept {
  readonly basis: PolicyBasis;
  readonly target: PolicyTarget;
  /** undefined if there was never one that could be obeyed. */
  readonly policy: InboundPolicy | undefined;
  /** Why what the basis says is not in force; "" if it is. */
  readonly problem: string;
}

export class Policies {
  readonly #logger: Logger;
  #kept = new Map<WorkloadKey, Kept>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Why policies could not be made: of workloads whose last one stays, or that have none. */
  get problems(): string[] {
    return [...this.#kept].flatMap(([key, { problem }]) => (problem === "" ? [] : [`${key}: ${problem}`]));
  }

  /** @param loadedAt ISO 8601 */
  status(loadedAt: string): SourceStatus {
    const { problems } = this;
    const state = problems.length === 0 ? "ok" : "bad";
    return { name: "policies", kind: "policies", state, loadedAt, diagnostics: [], problems };
  }

  /**
   * For one build of the mesh: of workloads that it does not ask for nothing is kept afterwards.
   *
   * @param basis undefined if it is not known yet
   */
  forOneBuild(basis: PolicyBasis | undefined): (workload: Workload) => InboundPolicy | undefined {
    const before = this.#kept;
    const kept = new Map<WorkloadKey, Kept>();
    this.#kept = kept;
    return (workload) => {
      if (basis === undefined) return undefined;
      const key = workloadKey(workload);
      const target = policyTarget(workload);
      const known = before.get(key);
      const same = known !== undefined && known.basis === basis && isDeepStrictEqual(known.target, target);
      const made = same ? known : this.#make(basis, target, known?.policy);
      kept.set(key, made);
      return made.policy;
    };
  }

  /** @param last what stays if the sidecar could not obey the new one, which is logged */
  #make(basis: PolicyBasis, target: PolicyTarget, last: InboundPolicy | undefined): Kept {
    const { resources, settings } = basis;
    try {
      const policy = compileInboundPolicy(resources, target, settings);
      for (const { port } of target.ports) compilePolicy(policy, port);
      return { basis, target, policy, problem: "" };
    } catch (error) {
      const { message } = error as Error;
      const workload = workloadKey(target);
      this.#logger.error("the policy of a workload cannot be made; its last one stays", { workload, reason: message });
      return { basis, target, policy: last, problem: message };
    }
  }
}

/**
 * What a mesh file says of policies, and what none says.
 *
 * @param trustDomain that of the certificate authority: a mesh file tells it to whoever starts the control plane
 */
export function policySettings(said: MeshFilePolicy, trustDomain: string): PolicySettings {
  return {
    trustDomain,
    defaultPolicy: said.default,
    rootNamespace: DEFAULT_ROOT_NAMESPACE,
    clusterNetworks: CLUSTER_NETWORKS,
    providers: said.authorizers,
  };
}

/** A workload without a label `app` counts as having one, its service, since nearly all selectors ask for it. */
export function policyTarget({ name, namespace, labels, serviceAccount, ports }: Workload): PolicyTarget {
  const [first] = ports;
  return {
    name,
    namespace,
    labels: first === undefined ? labels : { app: first.service, ...labels },
    serviceAccount,
    ports: ports.map(({ service, name: portName, port, appPort = 0 }) => {
      return { service, name: portName, port, appPort };
    }),
  };
}
