/**
 * The policies of all workloads, compiled when somebody asks and kept while neither the workload nor what they are made
 * of has changed: a mesh is built up to twenty times a second, and its documents hardly ever change.
 */
import { isDeepStrictEqual } from "node:util";

import type { InboundPolicy } from "../model/inbound-policy.ts";
import { type Workload, type WorkloadKey, workloadKey } from "../model/workload.ts";

/** What a policy depends on beside the documents. */
export interface PolicyTarget {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly ports: readonly {
    readonly service: string;
    readonly name: string;
    readonly port: number;
    /** Where the application listens; 0 if nobody says it. */
    readonly appPort: number;
  }[];
}

interface Kept {
  readonly target: PolicyTarget;
  readonly policy: InboundPolicy;
}

export class Policies {
  #compile: (target: PolicyTarget) => InboundPolicy;
  #kept = new Map<WorkloadKey, Kept>();

  constructor(compile: (target: PolicyTarget) => InboundPolicy) {
    this.#compile = compile;
  }

  /** What policies are made of is another. */
  changed(compile: (target: PolicyTarget) => InboundPolicy): void {
    this.#compile = compile;
    this.#kept.clear();
  }

  /** For one build of the mesh: of workloads that it does not ask for nothing is kept afterwards. */
  forOneBuild(): (workload: Workload) => InboundPolicy {
    const before = this.#kept;
    const kept = new Map<WorkloadKey, Kept>();
    this.#kept = kept;
    return (workload) => {
      const key = workloadKey(workload);
      const target = policyTarget(workload);
      const known = before.get(key);
      const policy =
        known !== undefined && isDeepStrictEqual(known.target, target) ? known.policy : this.#compile(target);
      kept.set(key, { target, policy });
      return policy;
    };
  }
}

export function policyTarget({ name, namespace, labels, serviceAccount, ports }: Workload): PolicyTarget {
  return {
    name,
    namespace,
    labels,
    serviceAccount,
    ports: ports.map(({ service, name: portName, port, appPort = 0 }) => {
      return { service, name: portName, port, appPort };
    }),
  };
}
