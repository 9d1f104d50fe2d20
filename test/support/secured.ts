/**
 * Two sidecars with identities, a caller's and a service's, in one process over real sockets. What the control plane
 * would tell the caller's is said by the test. In between stands a wire that writes down all that passes.
 */
import { once } from "node:events";
import net from "node:net";
import type { TestContext } from "node:test";

import { defaultBackendPolicy } from "../../src/model/backend-policy.ts";
import type { Discovery } from "../../src/model/discovery.ts";
import { spiffeId } from "../../src/model/identity.ts";
import { type InboundPolicy, openPolicy } from "../../src/model/inbound-policy.ts";
import { defaultRoute } from "../../src/model/route.ts";
import type { PortProtocol } from "../../src/model/service.ts";
import { systemClock } from "../../src/net/clock.ts";
import type { CredentialSource } from "../../src/net/credentials.ts";
import { Traffic } from "../../src/proxy/traffic.ts";
import { exposition } from "../../src/telemetry/exposition.ts";
import { Logger } from "../../src/telemetry/log.ts";
import { ANY_PORT, sidecar } from "./mesh.ts";

export const PRICE = identityOf("price");
export const CART = identityOf("cart");
/** The server name of TLS that is meant for the sidecar of `price`. */
export const PRICE_NAME = "price.shop.serviceaccount.identity.linkerd.cluster.local";

export function identityOf(serviceAccount: string): string {
  return spiffeId({ trustDomain: "cluster.local", namespace: "shop", serviceAccount });
}

export interface SecuredOptions {
  readonly protocol: PortProtocol;
  /** Where the service's application listens. */
  readonly applicationPort: number;
  /** undefined: a sidecar without an identity. */
  readonly caller: CredentialSource | undefined;
  readonly service: CredentialSource | undefined;
  /** Of the service; open unless said. */
  readonly policy?: InboundPolicy;
  /** What discovery says that the service's endpoint must prove; {@link PRICE} unless said. */
  readonly expected?: string;
  /** A port that stands at the service's endpoint in place of its sidecar. */
  readonly at?: number;
}

export interface Secured {
  readonly caller: Traffic;
  readonly service: Traffic;
  /** Of the caller's sidecar: routes by Host, and leads to the service whatever it is sent. */
  readonly outboundPort: number;
  readonly upstreamPort: number;
  /** Of the service's sidecar itself. */
  readonly inboundPort: number;
  /** All that has passed between the two sidecars, both ways, up to {@link TAPPED_BYTES_MAX}. */
  wire(): Buffer;
  metrics(of: "caller" | "service"): Promise<string>;
  /** Who may call the service, from now on. */
  setPolicy(policy: InboundPolicy): void;
  /** Log lines of both, as JSON. */
  readonly log: readonly Record<string, unknown>[];
}

/** Bytes that the wire remembers. */
export const TAPPED_BYTES_MAX = 8 * 1024 * 1024;

export async function secured(context: TestContext, options: SecuredOptions): Promise<Secured> {
  const { protocol, applicationPort, expected = PRICE } = options;
  const log: Record<string, unknown>[] = [];
  const sink = { write: (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>) };
  const logger = new Logger({ level: "info", format: "json", sink });
  const ticketSecret = crypto.getRandomValues(new Uint8Array(32));
  const base = { clock: systemClock, logger };
  const inbound = [
    { listen: ANY_PORT, target: { host: "127.0.0.1", port: applicationPort }, service: "price", port: 80, protocol },
  ];
  let tell: ((policy: InboundPolicy) => void) | undefined;
  const service = await Traffic.open({
    ...base,
    config: sidecar("price-1", { namespace: "shop", service: "price", inbound, control: ANY_PORT }),
    discovery: {
      ...nobody,
      watchPolicy: (listener) => {
        tell = listener;
        listener(options.policy ?? openPolicy);
        return () => {};
      },
    },
    identity: options.service && { credentials: options.service, ticketSecret },
  });
  context.after(() => service.close());
  const inboundPort = service.addresses.inbound[0]?.port ?? 0;
  const tap = await tapTo(context, options.at ?? inboundPort);
  const caller = await Traffic.open({
    ...base,
    config: sidecar("cart-1", {
      namespace: "shop",
      service: "cart",
      outbound: ANY_PORT,
      upstreams: [{ authority: "price", listen: ANY_PORT }],
    }),
    discovery: oneService(protocol, tap.port, expected),
    identity: options.caller && { credentials: options.caller, ticketSecret },
  });
  context.after(() => caller.close());
  return {
    caller,
    service,
    outboundPort: caller.addresses.outbound?.port ?? 0,
    upstreamPort: caller.addresses.upstreams[0]?.port ?? 0,
    inboundPort,
    wire: tap.bytes,
    metrics: async (of) => exposition(await (of === "caller" ? caller : service).snapshot()),
    log,
    setPolicy: (policy) => tell?.(policy),
  };
}

const nobody: Discovery = {
  watch(_authority, watcher) {
    watcher.onUnknown();
    return () => {};
  },
  watchPolicy: () => () => {},
};

function oneService(protocol: PortProtocol, port: number, identity: string): Discovery {
  const key = "price.shop:80";
  const endpoint = {
    address: "127.0.0.1",
    port,
    workload: "price-1",
    locality: { region: "", zone: "", subZone: "" },
    weight: 1,
    health: "healthy" as const,
    labels: {},
    meshed: true,
    identity,
  };
  return {
    watch(_authority, watcher) {
      watcher.onView({
        key,
        name: "price",
        namespace: "shop",
        port: { name: "main", port: 80, protocol },
        routes: [defaultRoute(key)],
        backends: new Map([[key, { key, policy: defaultBackendPolicy, endpoints: [endpoint] }]]),
      });
      return () => {};
    },
    watchPolicy: () => () => {},
  };
}

/** Passes on what passes, with half-close and RST, and remembers it. */
async function tapTo(context: TestContext, target: number): Promise<{ port: number; bytes: () => Buffer }> {
  const chunks: Buffer[] = [];
  const sockets = new Set<net.Socket>();
  let size = 0;
  const server = net.createServer({ allowHalfOpen: true }, (near) => {
    const far = net.connect({ port: target, host: "127.0.0.1", allowHalfOpen: true });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on("data", (chunk: Buffer) => {
        if (size < TAPPED_BYTES_MAX) chunks.push(chunk);
        size += chunk.length;
        if (!to.write(chunk)) from.pause();
      });
      to.on("drain", () => from.resume());
      from.on("end", () => to.end());
      from.on("error", () => to.resetAndDestroy());
      from.on("close", () => sockets.delete(from));
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: (server.address() as net.AddressInfo).port, bytes: () => Buffer.concat(chunks) };
}
