/**
 * Who may call our own workload, as the client knows it. A policy stays in force until there is another: while the
 * control plane is away, when it sends one that cannot be used, and when it says that there is none any more, as it does
 * of a workload that is just leaving the mesh.
 */
import type { InboundPolicy } from "../model/inbound-policy.ts";
import type { WorkloadKey } from "../model/workload.ts";
import type { DecodedInboundPolicy } from "./decode-policy.ts";
import type { Entry, ResourceTable } from "./resource-table.ts";

export type PolicyTable = ResourceTable<DecodedInboundPolicy, PolicyWatch>;

export class PolicyWatch {
  readonly #listeners = new Set<(policy: InboundPolicy) => void>();
  readonly #table: PolicyTable;
  readonly #name: WorkloadKey;
  #entry: Entry<DecodedInboundPolicy, PolicyWatch> | undefined;
  #policy: InboundPolicy | undefined;

  constructor(table: PolicyTable, name: WorkloadKey) {
    this.#table = table;
    this.#name = name;
  }

  /** The control plane has said that it does not know this workload, and nothing before that. */
  get unknown(): boolean {
    return this.#entry?.absent === true && this.#policy === undefined;
  }

  /** Subscribes with the first listener. */
  add(listener: (policy: InboundPolicy) => void): () => void {
    this.#entry ??= this.#table.use(this.#name, this);
    this.#listeners.add(listener);
    if (this.#policy !== undefined) listener(this.#policy);
    return () => void this.#listeners.delete(listener);
  }

  /** @returns true if the listeners must be told */
  update(): boolean {
    const policy = this.#entry?.value?.policy;
    if (policy === undefined || policy === this.#policy) return false;
    this.#policy = policy;
    return true;
  }

  tellAll(): void {
    if (this.#policy === undefined) return;
    for (const listener of this.#listeners) listener(this.#policy);
  }

  /** Nobody hears anything more. */
  close(): void {
    this.#listeners.clear();
  }
}
