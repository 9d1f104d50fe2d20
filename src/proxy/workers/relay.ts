/**
 * Discovery across threads. The main thread alone has an xDS stream, so that to the control plane a sidecar is one proxy,
 * however many workers it has; what it hears it passes on to the workers that have asked.
 */
import type { Discovery, ServiceWatcher } from "../../model/discovery.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

type Asked = Extract<FromWorker, { readonly kind: "watch" | "heard" | "unwatch" }>;
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
    this.#post({ kind: "heard", watch: message.watch });
  }
}

/**
 * What one worker follows. One message is under way at a time, and of what comes meanwhile only the newest is kept: to a
 * worker that is stuck, changes must not pile up.
 */
interface Watch {
  end: () => void;
  underWay: boolean;
  newest: Told | undefined;
}

/** The main thread's end, for one worker. */
export class DiscoveryRelay {
  readonly #discovery: Discovery;
  readonly #post: (message: Told) => void;
  readonly #watches = new Map<number, Watch>();

  constructor(discovery: Discovery, post: (message: Told) => void) {
    this.#discovery = discovery;
    this.#post = post;
  }

  asked(message: Asked): void {
    const id = message.watch;
    if (message.kind === "watch") return this.#begin(id, message.authority);
    const watch = this.#watches.get(id);
    // What was told last may be heard after the end.
    if (watch === undefined) return;
    if (message.kind === "unwatch") {
      this.#watches.delete(id);
      watch.end();
      return;
    }
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

  #begin(id: number, authority: string): void {
    const watch: Watch = { end: () => {}, underWay: false, newest: undefined };
    // First, because discovery may know the answer and say it at once.
    this.#watches.set(id, watch);
    const tell = (message: Told): void => {
      if (watch.underWay) watch.newest = message;
      else this.#post(message);
      watch.underWay = true;
    };
    watch.end = this.#discovery.watch(authority, {
      onView: (view) => tell({ kind: "view", watch: id, view }),
      onUnknown: () => tell({ kind: "unknown", watch: id }),
    });
  }
}
