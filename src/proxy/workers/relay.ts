/**
 * Discovery across threads. The main thread alone has an xDS stream, so that to the control plane a sidecar is one proxy,
 * however many workers it has; what it hears it passes on to the workers that have asked.
 */
import type { Discovery, ServiceWatcher } from "../../model/discovery.ts";
import type { InboundPolicy } from "../../model/inbound-policy.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

type Asked = Extract<FromWorker, { readonly kind: "watch" | "watchPolicy" | "heard" | "unwatch" }>;
type Told = Extract<ToWorker, { readonly kind: "view" | "unknown" | "policy" }>;

/** The worker's end. How much is followed at once is bounded by who asks (`SERVICES_MAX`). */
export class RelayedDiscovery implements Discovery {
  readonly #post: (message: Asked) => void;
  readonly #watchers = new Map<number, (message: Told) => void>();
  #lastWatch = 0;

  constructor(post: (message: Asked) => void) {
    this.#post = post;
  }

  watch(authority: string, watcher: ServiceWatcher): () => void {
    const watch = this.#begin((message) => {
      if (message.kind === "view") watcher.onView(message.view);
      else watcher.onUnknown();
    });
    this.#post({ kind: "watch", watch, authority });
    return () => this.#end(watch);
  }

  watchPolicy(listener: (policy: InboundPolicy) => void): () => void {
    const watch = this.#begin((message) => {
      if (message.kind === "policy") listener(message.policy);
    });
    this.#post({ kind: "watchPolicy", watch });
    return () => this.#end(watch);
  }

  /** The main thread has said something. It may be about a watch that has ended since. */
  told(message: Told): void {
    this.#watchers.get(message.watch)?.(message);
    this.#post({ kind: "heard", watch: message.watch });
  }

  #begin(told: (message: Told) => void): number {
    const watch = ++this.#lastWatch;
    this.#watchers.set(watch, told);
    return watch;
  }

  #end(watch: number): void {
    if (this.#watchers.delete(watch)) this.#post({ kind: "unwatch", watch });
  }
}

/**
 * What one worker follows. One message is under way at a time, and of what comes meanwhile only the newest is kept: to a
 * worker that is stuck, changes must not pile up.
 */
interface Watch {
  /** Of who may call. */
  readonly policy: boolean;
  end: () => void;
  underWay: boolean;
  newest: Told | undefined;
}

/** The main thread's end, for one worker. */
export class DiscoveryRelay {
  readonly #discovery: Discovery;
  readonly #post: (message: Told) => void;
  readonly #watches = new Map<number, Watch>();
  #policyHeard = false;

  constructor(discovery: Discovery, post: (message: Told) => void) {
    this.#discovery = discovery;
    this.#post = post;
  }

  /** The worker has heard who may call. */
  get policyHeard(): boolean {
    return this.#policyHeard;
  }

  asked(message: Asked): void {
    const id = message.watch;
    if (message.kind === "watch") return this.#begin(id, message.authority);
    if (message.kind === "watchPolicy") return this.#begin(id, undefined);
    const watch = this.#watches.get(id);
    // What was told last may be heard after the end.
    if (watch === undefined) return;
    if (message.kind === "unwatch") {
      this.#watches.delete(id);
      watch.end();
      return;
    }
    this.#policyHeard ||= watch.policy;
    const { newest } = watch;
    watch.newest = undefined;
    watch.underWay = newest !== undefined;
    if (newest !== undefined) this.#post(newest);
  }

  /** The worker is gone. */
  close(): void {
    for (const { end } of this.#watches.values()) end();
    this.#watches.clear();
  }

  /** @param authority undefined: who may call */
  #begin(id: number, authority: string | undefined): void {
    const watch: Watch = { policy: authority === undefined, end: () => {}, underWay: false, newest: undefined };
    // First, because discovery may know the answer and say it at once.
    this.#watches.set(id, watch);
    const tell = (message: Told): void => {
      if (watch.underWay) watch.newest = message;
      else this.#post(message);
      watch.underWay = true;
    };
    watch.end =
      authority === undefined
        ? this.#discovery.watchPolicy((policy) => tell({ kind: "policy", watch: id, policy }))
        : this.#discovery.watch(authority, {
            onView: (view) => tell({ kind: "view", watch: id, view }),
            onUnknown: () => tell({ kind: "unknown", watch: id }),
          });
  }
}
