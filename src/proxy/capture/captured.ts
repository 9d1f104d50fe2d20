/** The listeners that firewall rules redirect a workload's connections to. */
import { loadOriginalDestination } from "../../net/original-destination.ts";
import type { CaptureConfig } from "../config.ts";
import type { ProxyContext } from "../context.ts";
import { inboundListener } from "../inbound.ts";
import { Listener } from "../listener.ts";
import { refuseOpaque } from "../opaque-forward.ts";
import { openCaptured } from "../outbound.ts";
import type { Services } from "../outbound/services.ts";
import { CapturedPorts } from "./captured-ports.ts";
import { CapturedDestinations, isHere } from "./destinations.ts";

const NOTHING = Buffer.alloc(0);

export class Captured {
  readonly inbound: Listener;
  readonly outbound: Listener;
  readonly #ports: CapturedPorts;

  private constructor(inbound: Listener, outbound: Listener, ports: CapturedPorts) {
    this.inbound = inbound;
    this.outbound = outbound;
    this.#ports = ports;
  }

  /** @throws ListenError; Error if this Node cannot ask where connections were going */
  static async open(config: CaptureConfig, services: Services, context: ProxyContext): Promise<Captured> {
    const ownPorts: number[] = [];
    const destinations = new CapturedDestinations(loadOriginalDestination(), ownPorts);
    const ports = new CapturedPorts(config.ports, context, isHere);
    const loop = refuseOpaque("loop", "inbound", context);
    const options = inboundListener(config.inbound, context);
    const inbound = await Listener.open({
      ...options,
      serve: (connection, done) => {
        const destination = destinations.of(connection);
        if (destination === undefined) return loop.serve(connection, NOTHING, false, undefined, done);
        const serve = ports.serving(destination);
        if (typeof serve === "function") return serve(connection, done);
        return refuseOpaque(serve, "inbound", context).serve(connection, NOTHING, false, undefined, done);
      },
    });
    let outbound: Listener;
    try {
      outbound = await openCaptured(config, destinations, services, context);
    } catch (error) {
      inbound.destroy();
      ports.close();
      throw error;
    }
    ownPorts.push(inbound.address.port, outbound.address.port);
    return new Captured(inbound, outbound, ports);
  }

  get addresses() {
    return { inbound: this.inbound.address, outbound: this.outbound.address };
  }

  /** The application's side; the listeners are drained and destroyed by who has them all. */
  close(): void {
    this.#ports.close();
  }
}
