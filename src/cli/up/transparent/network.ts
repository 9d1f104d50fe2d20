/**
 * The network of `heddle up --transparent`: a namespace with a bridge, and one for each instance, joined to the bridge by
 * a pair of virtual interfaces. In each the rules of `heddle init` bring all TCP to the sidecar, which runs as a user of
 * its own; programs find services by name in an /etc/hosts of their own. Nothing is made or changed outside.
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

import type { SocketAddress } from "../../../proxy/config.ts";
import { Failure } from "../../errors.ts";
import { captureSteps, findFirewall, perform, runHere } from "../../init/firewall.ts";
import { SIDECAR_UID } from "../../init/rules.ts";
import type { MeshFile } from "../../../dialects/mesh/mesh-file.ts";
import type { Host } from "../host.ts";
import type { CapturedPlace, MeshAddresses } from "../plan.ts";
import { LOOPBACK } from "../ports.ts";
import { probeBy } from "../readiness.ts";
import { AddressPool, BRIDGE_V4, BRIDGE_V6, hostsLines } from "./addresses.ts";
import { Namespace } from "./namespace.ts";
import { here, Relay, type SocketPlace } from "./relay.ts";

/** Linkerd's ports: in a namespace of its own every sidecar can have them. */
const INBOUND_PORT = 4143;
const OUTBOUND_PORT = 4140;

const BRIDGE = `
ip link set lo up
ip link add heddle type bridge
ip address add ${BRIDGE_V4}/16 dev heddle
if [ -e /proc/sys/net/ipv6 ]; then ip address add ${BRIDGE_V6}/64 dev heddle nodad; fi
ip link set heddle up
# To an address that nobody has there is no way: with forwarding on, who asks for one is told so at once.
echo 1 > /proc/sys/net/ipv4/ip_forward
if [ -e /proc/sys/net/ipv6 ]; then echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; fi
`;

/** $1 the namespace of the instance, $2 a name that is free. */
const CABLE = `
ip link add "$2" type veth peer name eth0 netns "$1"
ip link set "$2" master heddle up
`;

/**
 * $1 its address, $2 the same in IPv6, $3 Node, $4 the folder that has Heddle's code. The code lies where its user may
 * read it, whoever's home it comes from.
 */
const INSIDE = `
ip link set lo up
ip address add "$1/16" dev eth0
if [ -e /proc/sys/net/ipv6 ]; then ip address add "$2/64" dev eth0 nodad; fi
ip link set eth0 up
ip route add default via ${BRIDGE_V4}
if [ -e /proc/sys/net/ipv6 ]; then ip route add default via ${BRIDGE_V6}; fi
mkdir -p /run/heddle
mount -t tmpfs -o mode=755,size=1m heddle /run/heddle
mkdir /run/heddle/code
touch /run/heddle/node /run/heddle/hosts
mount --bind "$3" /run/heddle/node
mount --bind "$4" /run/heddle/code
mount --bind /run/heddle/hosts /etc/hosts
`;

interface Cabin {
  readonly namespace: Namespace;
  readonly relays: Relay[];
}

export class TransparentNetwork {
  readonly #hub: Namespace;
  readonly #workloads = new AddressPool("workload");
  readonly #services = new AddressPool("service");
  readonly #cabins = new Map<string, Cabin>();
  readonly #relays: Relay[] = [];
  readonly #ipv6 = existsSync("/proc/sys/net/ipv6");
  readonly #xds: SocketAddress;
  #hosts = "";
  #cables = 0;

  private constructor(hub: Namespace, xds: SocketAddress) {
    this.#hub = hub;
    this.#xds = xds;
  }

  /** @throws Failure if this user or this machine may not */
  static async open(addresses: MeshAddresses): Promise<TransparentNetwork> {
    if (process.getuid?.() !== 0) {
      throw new Failure(
        "--transparent makes network namespaces and firewall rules, which takes root",
        "Try it with sudo.",
      );
    }
    await findFirewall(runHere);
    const network = new TransparentNetwork(await Namespace.create(), addresses.xds);
    try {
      await network.#hub.shell(BRIDGE);
      const hub = placeOf(network.#hub);
      network.#relays.push(await Relay.open(hub, loopback(addresses.xds), here, addresses.xds));
      for (const address of [addresses.outbound, addresses.admin]) {
        network.#relays.push(await Relay.open(here, address, hub, loopback(address)));
      }
      return network;
    } catch (error) {
      network.close();
      throw error;
    }
  }

  /** Where the sidecar of the person at the keyboard runs: it has to reach the instances. */
  keyboardHost(host: Host): Host {
    return { ...host, heddle: this.#hub.enter(host.heddle, { directory: "/" }) };
  }

  /** What everybody is to find by name from now on. */
  async setServices(mesh: MeshFile): Promise<void> {
    const services = mesh.services.filter(({ ports }) => ports.length > 0);
    const named = services.map(({ name }) => {
      const { namespace } = mesh;
      return { name, namespace, addresses: this.#serviceAddresses(name, namespace) };
    });
    this.#hosts = hostsLines(named) + readFileSync("/etc/hosts", "utf8");
    await Promise.all(Array.from(this.#cabins.values(), (cabin) => this.#tellNames(cabin)));
  }

  /** Makes the namespace of one instance, whose program listens at `ports`. @throws Failure */
  async place(name: string, service: string, namespace: string, ports: readonly number[]): Promise<CapturedPlace> {
    const taken = ports.find((port) => port === INBOUND_PORT || port === OUTBOUND_PORT);
    if (taken !== undefined) {
      throw new Failure(`${name} cannot listen at port ${taken}: its sidecar does`, "Give the service another port.");
    }
    const { v4, v6 } = this.#workloads.addressOf(name);
    const inside = await Namespace.create();
    const cabin: Cabin = { namespace: inside, relays: [] };
    this.#cabins.set(name, cabin);
    try {
      await this.#hub.shell(CABLE, inside.path, `w${++this.#cables}`);
      await inside.shell(INSIDE, v4, v6, process.execPath, codeFolder());
      const kind = await findFirewall(inside.run);
      const rules = {
        incomingPort: INBOUND_PORT,
        outgoingPort: OUTBOUND_PORT,
        uid: SIDECAR_UID,
        gid: undefined,
        inboundPortsToIgnore: [],
        outboundPortsToIgnore: [],
        subnetsToIgnore: [],
      };
      await perform(await captureSteps(kind, rules, inside.run), inside.run);
      await this.#tellNames(cabin);
      cabin.relays.push(await Relay.open(placeOf(inside), loopback(this.#xds), here, this.#xds));
    } catch (error) {
      this.leave(name);
      throw error;
    }
    const any = this.#ipv6 ? "::" : "0.0.0.0";
    return {
      address: v4,
      serviceAddresses: this.#serviceAddresses(service, namespace),
      inbound: { host: any, port: INBOUND_PORT },
      outbound: { host: any, port: OUTBOUND_PORT },
      control: loopback(this.#xds),
    };
  }

  /** How things are started and asked inside. @throws Error of bind(2) if the admin port is taken outside */
  async hostOf(name: string, host: Host, adminPort: number): Promise<Host> {
    const cabin = this.#cabins.get(name);
    if (cabin === undefined) throw new Error(`no namespace was made for ${name}`);
    const { namespace } = cabin;
    const admin = { host: LOOPBACK, port: adminPort };
    cabin.relays.push(await Relay.open(here, admin, placeOf(namespace), admin));
    const [, script = ""] = host.heddle;
    const heddle = ["/run/heddle/node", join("/run/heddle/code", relative(codeFolder(), script))];
    return {
      ...host,
      probe: probeBy((address) => namespace.connect(address)),
      heddle: namespace.enter(heddle, { directory: "/", uid: SIDECAR_UID }),
      inside: (program) => ({
        ...program,
        command: namespace.enter(program.command, { directory: program.directory }),
      }),
    };
  }

  /** The namespace goes with the last program in it. */
  leave(name: string): void {
    const cabin = this.#cabins.get(name);
    if (cabin === undefined) return;
    this.#cabins.delete(name);
    this.#workloads.release(name);
    for (const relay of cabin.relays) relay.close();
    cabin.namespace.close();
  }

  close(): void {
    for (const name of [...this.#cabins.keys()]) this.leave(name);
    for (const relay of this.#relays) relay.close();
    this.#hub.close();
  }

  #serviceAddresses(name: string, namespace: string): string[] {
    const { v4, v6 } = this.#services.addressOf(`${name}.${namespace}`);
    return this.#ipv6 ? [v4, v6] : [v4];
  }

  async #tellNames({ namespace }: Cabin): Promise<void> {
    const { code, stderr } = await namespace.run(["/bin/sh", "-c", "cat > /etc/hosts"], this.#hosts);
    if (code !== 0) throw new Failure(`cannot write /etc/hosts of a namespace: ${stderr.trim()}`);
  }
}

function placeOf(namespace: Namespace): SocketPlace {
  return {
    listen: (server, address) => void server.listen(namespace.bind(address)),
    connect: (address) => namespace.connect(address),
  };
}

/** The control plane may listen anywhere outside; inside it is on loopback. */
function loopback({ port }: SocketAddress): SocketAddress {
  return { host: LOOPBACK, port };
}

/** The folder that has Heddle with all it needs: a clone, or where the packages lie that it was installed with. */
function codeFolder(): string {
  const root = join(import.meta.dirname, "..", "..", "..", "..");
  const installed = root.indexOf("/node_modules/");
  return installed === -1 ? root : dirname(root.slice(0, installed + "/node_modules".length));
}
