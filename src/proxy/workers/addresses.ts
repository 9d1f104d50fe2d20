/**
 * Addresses that several workers shall listen at together. A port that is shared (SO_REUSEPORT) would be shared as
 * silently with a second sidecar started by mistake, which would then get half of the connections. So each address is
 * first bound by the main thread without sharing: that fails if anybody listens there, and makes port 0 one number for
 * all. It is held until the workers listen, and takes no connections.
 */
import { BoundSocket } from "node:net";

import type { ProxyConfig, SocketAddress } from "../config.ts";
import { listenError } from "../listener.ts";

export interface ReservedAddresses {
  /** With every port a number. */
  readonly config: ProxyConfig;
  readonly release: () => void;
}

/** @throws ListenError */
export function reserveAddresses(config: ProxyConfig): ReservedAddresses {
  const bound: BoundSocket[] = [];
  const taken: SocketAddress[] = [];
  const release = (): void => bound.forEach((socket) => socket.close());
  const reserve = ({ host, port }: SocketAddress): SocketAddress => {
    try {
      // Two sockets that are bound and do not listen yet are not in each other's way, so the system does not complain.
      if (taken.some((other) => port === other.port && overlap(host, other.host))) throw inUse();
      const socket = new BoundSocket({ host, port });
      bound.push(socket);
      const address = { host, port: socket.address().port };
      taken.push(address);
      return address;
    } catch (error) {
      release();
      throw listenError(error as NodeJS.ErrnoException, host, port);
    }
  };
  const reserved: ProxyConfig = {
    ...config,
    inbound: config.inbound.map((inbound) => ({ ...inbound, listen: reserve(inbound.listen) })),
    upstreams: config.upstreams.map((upstream) => ({ ...upstream, listen: reserve(upstream.listen) })),
    outbound: config.outbound === undefined ? undefined : reserve(config.outbound),
    capture: config.capture && {
      ...config.capture,
      inbound: reserve(config.capture.inbound),
      outbound: reserve(config.capture.outbound),
    },
  };
  return { config: reserved, release };
}

function overlap(one: string, other: string): boolean {
  return one === other || [one, other].some((host) => host === "0.0.0.0" || host === "::");
}

function inUse(): NodeJS.ErrnoException {
  return Object.assign(new Error("the address is given twice"), { code: "EADDRINUSE" });
}
