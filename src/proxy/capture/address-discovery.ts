/**
 * Discovery for connections that come with nothing but the address they were going to: the control plane is asked what
 * that is in the mesh, and what it does not know is gone to as it is. Addresses that no mesh gives out, those outside of
 * the cluster networks, are not asked for (Linkerd: `clusterNetworks`).
 *
 * Of a service that this very workload serves, its own endpoint is the application beside us: what is sent there by way of
 * the network would not pass our inbound listener, for who calls their own address does so by the loopback interface.
 */
import { BlockList, isIP } from "node:net";

import { defaultBackendPolicy } from "../../model/backend-policy.ts";
import type { Discovery, ServiceWatcher } from "../../model/discovery.ts";
import { type Endpoint, endpointKey } from "../../model/endpoint.ts";
import { CLUSTER_NETWORKS, type InboundPolicy } from "../../model/inbound-policy.ts";
import type { BackendView, ServiceView } from "../../model/mesh.ts";
import { defaultRoute } from "../../model/route.ts";
import { defaultProtocol } from "../../model/service.ts";
import type { Destination } from "../../net/original-destination.ts";
import type { CaptureConfig, CapturedPort } from "../config.ts";

/**
 * How such an address is asked for: "[10.1.2.3]:80", which nobody can write in a Host. Who names a place that is no service
 * is refused, as ever; only connections that were going there are passed on.
 */
export function capturedAuthority({ address, port }: Destination): string {
  return `[${address}]:${port}`;
}

function parseCapturedAuthority(authority: string): Destination | undefined {
  const match = /^\[([0-9a-f:.]+)\]:(\d{1,5})$/.exec(authority);
  return match === null ? undefined : { address: match[1] as string, port: Number(match[2]) };
}

export class AddressDiscovery implements Discovery {
  readonly #inner: Discovery;
  readonly #self: { readonly workload: string; readonly namespace: string };
  readonly #ports: readonly CapturedPort[];

  constructor(
    inner: Discovery,
    self: { readonly workload: string; readonly namespace: string },
    { ports }: CaptureConfig,
  ) {
    this.#inner = inner;
    this.#self = self;
    this.#ports = ports;
  }

  watch(authority: string, watcher: ServiceWatcher): () => void {
    const address = parseCapturedAuthority(authority);
    if (address !== undefined && !isOfCluster(address.address)) {
      watcher.onView(direct(address));
      return () => {};
    }
    let proves = false;
    return this.#inner.watch(address === undefined ? authority : endpointKey(address), {
      onView: (view) => {
        proves ||= provesIdentity(view);
        watcher.onView(this.#withoutSelf(view));
      },
      onUnknown: () => {
        // Who proves an identity must not be spoken to in plain because the control plane has forgotten it. As long as
        // the address is in use; after that it may be somebody else's.
        if (address === undefined || proves) watcher.onUnknown();
        else watcher.onView(direct(address));
      },
    });
  }

  watchPolicy(listener: (policy: InboundPolicy) => void): () => void {
    return this.#inner.watchPolicy(listener);
  }

  #withoutSelf(view: ServiceView): ServiceView {
    const mine = this.#ports.find(({ service, port }) => service === view.name && port === view.port.port);
    const { workload, namespace } = this.#self;
    if (mine === undefined || namespace !== view.namespace) return view;
    const backends = new Map(
      Array.from(view.backends, ([key, backend]): [string, BackendView] => {
        const endpoints = backend.endpoints.map((endpoint) =>
          endpoint.workload === workload ? beside(endpoint, mine) : endpoint,
        );
        return [key, { ...backend, endpoints }];
      }),
    );
    return { ...view, backends };
  }
}

function provesIdentity({ backends }: ServiceView): boolean {
  return [...backends.values()].some(({ endpoints }) => endpoints.some(({ identity }) => identity !== ""));
}

/** The application of this workload without a sidecar in between. */
function beside(endpoint: Endpoint, { target }: CapturedPort): Endpoint {
  const where =
    "path" in target ? { address: "", port: 0, path: target.path } : { address: target.host, port: target.port };
  return { ...endpoint, ...where, meshed: false, identity: "" };
}

/** An address that is no service: nothing is known of it but what its port is usually for. */
function direct({ address, port }: Destination): ServiceView {
  const key = endpointKey({ address, port });
  const endpoint: Endpoint = {
    address,
    port,
    workload: "",
    locality: { region: "", zone: "", subZone: "" },
    weight: 1,
    health: "healthy",
    labels: {},
    meshed: false,
    identity: "",
  };
  const backend: BackendView = { key, policy: defaultBackendPolicy, endpoints: [endpoint] };
  return {
    key,
    name: "",
    namespace: "",
    port: { name: "", port, protocol: defaultProtocol(port) },
    routes: [defaultRoute(key)],
    backends: new Map([[key, backend]]),
  };
}

const cluster = new BlockList();
for (const network of CLUSTER_NETWORKS) {
  const [address = "", prefix = ""] = network.split("/");
  cluster.addSubnet(address, Number(prefix), isIP(address) === 6 ? "ipv6" : "ipv4");
}

function isOfCluster(address: string): boolean {
  return cluster.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
}
