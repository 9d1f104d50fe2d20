/**
 * Discovery across threads. The main thread alone has an xDS stream, so that to the control plane a sidecar is one proxy,
 * however many workers it has; what it hears it passes on to the workers that have asked.
 */
import type { Discovery, ServiceWatcher } from "../../model/discovery.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

type Asked = Extract<FromWorker, { readonly kind: "watch" | "unwatch" }>;
type Told = Extract<ToWorker, { readonly kind: "view" | "unknown" }>;

/** The worker's end. How much is followed at once is bounded by who asks (`SERVICES_MAX`). */
export class RelayedDiscovery implements Discovery {
  readonly #post: (message: Asked) => void;
  readonly #watchers = new Map<number, ServiceWatcher>();
  #lastWatch = 0;

  constructor(post: (message: Asked) => void) {
    this.#post = post;
  }

  watch(authority: string, watcher: ServiceWatcher): () => void {
    const watch = ++this.#lastWatch;
    this.#watchers.set(watch, watcher);
    this.#post({ kind: "watch", watch, authority });
    return () => {
      if (this.#watchers.delete(watch)) this.#post({ kind: "unwatch", watch });
    };
  }

  /** The main thread has said something. It may be about a watch that has ended since. */
  told(message: Told): void {
    const watcher = this.#watchers.get(message.watch);
    if (message.kind === "view") watcher?.onView(message.view);
    else watcher?.onUnknown();
  }
}

/** The main thread's end, for one worker. */
export class DiscoveryRelay {
  readonly #discovery: Discovery;
  readonly #post: (message: Told) => void;
  readonly #watches = new Map<number, () => void>();

  constructor(discovery: Discovery, post: (message: Told) => void) {
    this.#discovery = discovery;
    this.#post = post;
  }

  asked(message: Asked): void {
    const { watch } = message;
    if (message.kind === "watch") {
      const end = this.#discovery.watch(message.authority, {
        onView: (view) => this.#post({ kind: "view", watch, view }),
        onUnknown: () => this.#post({ kind: "unknown", watch }),
      });
      this.#watches.set(watch, end);
    } else {
      this.#watches.get(watch)?.();
      this.#watches.delete(watch);
    }
  }

  /** The worker is gone. */
  close(): void {
    for (const end of this.#watches.values()) end();
    this.#watches.clear();
  }
}
