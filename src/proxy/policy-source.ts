/**
 * The policy that this sidecar obeys at the moment. Where there is a control plane nobody may call before it has said who
 * may: for a moment after the start nothing must be open by accident. Without one there is nobody who could say it, and
 * everybody may.
 */
import type { Discovery } from "../model/discovery.ts";
import { type InboundPolicy, openPolicy } from "../model/inbound-policy.ts";
import { UNNAMED_PORT } from "../policy/policy.ts";
import type { ProxyConfig } from "./config.ts";

export interface PolicySource {
  /** Replaced in whole. */
  readonly current: InboundPolicy;
  /** Called with each new one. @returns a function that ends it */
  watch(listener: (policy: InboundPolicy) => void): () => void;
}

/** Before the control plane has been heard. */
export const unheardPolicy: InboundPolicy = { ...openPolicy, defaultPolicy: "deny" };

/** Whether the control plane must be heard before anybody may call: not of a sidecar that only calls others. */
export function needsPolicy({ control, inbound, capture }: ProxyConfig): boolean {
  return control !== undefined && (inbound.length > 0 || capture !== undefined);
}

/**
 * The ports for which a policy must be such that it can be obeyed: the application's, as callers say them. Where
 * connections are captured somebody may dial any other, so all that the policy speaks of count.
 */
export function policedPorts(
  { inbound, capture }: Pick<ProxyConfig, "inbound" | "capture">,
  policy: InboundPolicy,
): ReadonlySet<number> {
  const ports = new Set(inbound.map(({ port }) => port));
  if (capture === undefined) return ports;
  const { layers, tlsByPort } = policy;
  for (const { port } of [...capture.ports, ...tlsByPort]) ports.add(port);
  for (const layer of layers) for (const port of layer.ports) ports.add(port);
  // One that nothing speaks of by its number.
  return ports.add(UNNAMED_PORT);
}

/** That of a sidecar without a control plane. */
export const openPolicySource: PolicySource = { current: openPolicy, watch: () => () => {} };

/** That of a sidecar with one. */
export class DiscoveredPolicy implements PolicySource {
  /** Called after each new one, when all who watch have heard of it. */
  onChanged: (() => void) | undefined;
  /** The control plane has said something. */
  heard = false;
  #current = unheardPolicy;
  readonly #listeners = new Set<(policy: InboundPolicy) => void>();
  readonly #end: () => void;

  constructor(discovery: Discovery) {
    this.#end = discovery.watchPolicy((policy) => {
      this.#current = policy;
      this.heard = true;
      for (const listener of this.#listeners) listener(policy);
      this.onChanged?.();
    });
  }

  get current(): InboundPolicy {
    return this.#current;
  }

  watch(listener: (policy: InboundPolicy) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The last policy stays; no other is heard of. */
  close(): void {
    this.#end();
    this.#listeners.clear();
  }
}
