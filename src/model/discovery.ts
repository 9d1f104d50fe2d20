/** How a proxy learns about the mesh, whatever carries it. */
import type { InboundPolicy } from "./inbound-policy.ts";
import type { ServiceView } from "./mesh.ts";

export interface ServiceWatcher {
  /** The service is known, or something about it has changed. The view is complete. */
  onView(view: ServiceView): void;
  /** The control plane says that no such service exists (any more). */
  onUnknown(): void;
}

export interface Discovery {
  /**
   * Follows what an authority stands for. The watcher is called at once, from inside, if the answer is known.
   *
   * @param authority as callers write it, lower case: "price", "price.shop", "price:80", "price.shop.svc.cluster.local:80";
   *   or where somebody was connecting to, "10.1.2.3:80", "[fd00::1]:80"
   * @returns a function that ends it
   */
  watch(authority: string, watcher: ServiceWatcher): () => void;
  /**
   * Follows who may call this workload. The listener is called at once, from inside, if that is known, and with each new
   * policy. What was heard last stays in force, whatever happens to the control plane.
   *
   * @returns a function that ends it
   */
  watchPolicy(listener: (policy: InboundPolicy) => void): () => void;
}
