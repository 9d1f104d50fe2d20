/**
 * Puts together what the client knows of one authority: Listener → RouteConfiguration → Clusters and their endpoints.
 *
 *            Listener present            all parts heard of
 *   waiting ─────────────────▶ resolving ─────────────────▶ view ──┐ a part changes: the view stays until all parts of
 *      │                          │                          ▲  └──┘ the next one are there
 *      └────────▶ unknown ◀───────┴──── Listener removed ────┘
 */
import { isDeepStrictEqual } from "node:util";

import { defaultBackendPolicy } from "../model/backend-policy.ts";
import type { ServiceWatcher } from "../model/discovery.ts";
import type { BackendView, ServiceView } from "../model/mesh.ts";
import { portKey } from "../model/service.ts";
import type { Timer } from "../net/clock.ts";
import type { DecodedCluster, DecodedEndpoints, DecodedListener, DecodedRoutes } from "./decode.ts";
import type { Entry, ResourceTable } from "./resource-table.ts";

/** All that the client knows, by type. */
export interface ResourceTables {
  readonly listeners: ResourceTable<DecodedListener, ServiceWatch>;
  readonly routes: ResourceTable<DecodedRoutes, ServiceWatch>;
  readonly clusters: ResourceTable<DecodedCluster, ServiceWatch>;
  readonly endpoints: ResourceTable<DecodedEndpoints, ServiceWatch>;
}

type ClusterEntry = Entry<DecodedCluster, ServiceWatch>;
type EndpointsEntry = Entry<DecodedEndpoints, ServiceWatch>;

/** A view of a backend and the values that it was made of. */
interface MadeBackend {
  readonly cluster: DecodedCluster | undefined;
  readonly endpoints: DecodedEndpoints | undefined;
  readonly view: BackendView;
}

/** So that a backend that did not change is the same object in every view that has it. */
const madeBackends = new WeakMap<ClusterEntry, MadeBackend>();

/** A finished view and the values that it was made of. */
interface MadeView {
  readonly listener: DecodedListener;
  readonly routes: DecodedRoutes;
  readonly view: ServiceView;
}

/** One watcher and what it was told last. */
export interface Registration {
  readonly watcher: ServiceWatcher;
  told: ServiceView | "unknown" | undefined;
}

export class ServiceWatch {
  readonly authority: string;
  readonly watchers = new Set<Registration>();
  /** Runs while nobody watches: then it is forgotten. */
  lingering: Timer | undefined;
  readonly #tables: ResourceTables;
  readonly #listener: Entry<DecodedListener, ServiceWatch>;
  #routes = new Set<string>();
  #backends = new Set<string>();
  #made: MadeView | undefined;
  #unknown = false;

  constructor(authority: string, tables: ResourceTables) {
    this.authority = authority;
    this.#tables = tables;
    this.#listener = tables.listeners.use(authority, this);
  }

  /** Tells a watcher what is known, if anything is that it was not told. */
  tell(registration: Registration): void {
    const news = this.#unknown ? "unknown" : this.#made?.view;
    if (news === undefined || news === registration.told) return;
    registration.told = news;
    if (news === "unknown") registration.watcher.onUnknown();
    else registration.watcher.onView(news);
  }

  /** Watchers may come and go from inside. Who comes is told at once, and not again. */
  tellAll(): void {
    for (const registration of this.watchers) this.tell(registration);
  }

  /**
   * Looks at the tables again after something in them has changed, and subscribes to what is needed now.
   *
   * @returns true if the watchers must be told
   */
  update(): boolean {
    const listener = this.#listener.value;
    if (listener === undefined) return this.#listener.absent && this.#becomeUnknown();
    const before = this.#made;
    this.#routes.add(listener.routes);
    const routes = this.#tables.routes.use(listener.routes, this).value;
    const next = routes && this.#assemble(listener, routes);
    if (next !== undefined) {
      this.#keepOnly(new Set([listener.routes]), new Set(next.view.backends.keys()));
      this.#made = next;
    } else if (before !== undefined) {
      // Parts of the next view are missing; until they are there, the endpoints of this one are kept up to date.
      this.#made = this.#assemble(before.listener, before.routes);
    }
    this.#unknown = false;
    return this.#made !== before;
  }

  /** Gives all resources up. */
  release(): void {
    this.#keepOnly(new Set(), new Set());
    this.#tables.listeners.drop(this.authority, this);
  }

  #becomeUnknown(): boolean {
    this.#keepOnly(new Set(), new Set());
    this.#made = undefined;
    const before = this.#unknown;
    this.#unknown = true;
    return !before;
  }

  /** @returns the former view if nothing is different; undefined if something was not heard of yet */
  #assemble(listener: DecodedListener, routes: DecodedRoutes): MadeView | undefined {
    const names = new Set(routes.routes.flatMap((route) => route.backends.map(({ backend }) => backend)));
    const backends = new Map<string, BackendView>();
    for (const name of names) {
      this.#backends.add(name);
      const cluster = this.#tables.clusters.use(name, this);
      const endpoints = this.#tables.endpoints.use(name, this);
      if (heardOf(cluster) && heardOf(endpoints)) backends.set(name, backendView(name, cluster, endpoints));
    }
    if (backends.size < names.size) return undefined;
    const made = this.#made;
    const unchanged =
      made?.listener === listener &&
      made.routes === routes &&
      [...backends].every(([name, backend]) => made.view.backends.get(name) === backend);
    if (unchanged) return made;
    const { service: name, namespace, port } = listener;
    const key = portKey({ name, namespace }, port.port);
    return { listener, routes, view: { key, name, namespace, port, routes: routes.routes, backends } };
  }

  #keepOnly(routes: Set<string>, backends: Set<string>): void {
    for (const name of this.#routes) {
      if (!routes.has(name)) this.#tables.routes.drop(name, this);
    }
    for (const name of this.#backends) {
      if (backends.has(name)) continue;
      this.#tables.clusters.drop(name, this);
      this.#tables.endpoints.drop(name, this);
    }
    this.#routes = routes;
    this.#backends = backends;
  }
}

function heardOf({ value, absent }: Entry<unknown, ServiceWatch>): boolean {
  return value !== undefined || absent;
}

/** A route may name what does not exist: that is a backend without endpoints. */
function backendView(key: string, clusterEntry: ClusterEntry, endpointsEntry: EndpointsEntry): BackendView {
  const { value: cluster } = clusterEntry;
  const { value: endpoints } = endpointsEntry;
  const made = madeBackends.get(clusterEntry);
  if (made !== undefined && made.cluster === cluster && made.endpoints === endpoints) return made.view;
  let view: BackendView = {
    key,
    policy: cluster?.policy ?? defaultBackendPolicy,
    endpoints: endpoints?.endpoints ?? [],
  };
  // A Cluster that begins or ceases to exist may mean the same as before.
  if (made !== undefined && sameBackend(view, made.view)) view = made.view;
  madeBackends.set(clusterEntry, { cluster, endpoints, view });
  return view;
}

function sameBackend(a: BackendView, b: BackendView): boolean {
  const sameEndpoints = a.endpoints === b.endpoints || (a.endpoints.length === 0 && b.endpoints.length === 0);
  return sameEndpoints && isDeepStrictEqual(a.policy, b.policy);
}
