/** The flags of `heddle proxy`, both ways: a command line to a ProxyConfig, and a ProxyConfig to a command line. */
import { DEFAULT_TRUST_DOMAIN } from "../model/identity.ts";
import { defaultProtocol, OPAQUE_PORTS, PORT_PROTOCOLS, type PortProtocol, portProtocol } from "../model/service.ts";
import type { CaptureConfig, CapturedPort, InboundConfig, ProxyConfig, UpstreamConfig } from "../proxy/config.ts";
import type { LogFormat, LogLevel } from "../telemetry/log.ts";
import { decodeJoinToken, JoinTokenError } from "../xds/join-token.ts";
import { didYouMean } from "./arguments.ts";
import type { FlagValues } from "./command.ts";
import { UsageError } from "./errors.ts";
import { LOG_FLAGS } from "./log-flags.ts";
import { suggest } from "./suggest.ts";
import {
  formatAddress,
  isLoopback,
  parseAddress,
  parseAuthority,
  parseCount,
  parseDuration,
  parseLabel,
  parsePort,
  parsePrivateAddress,
  parseTarget,
  parseTrustDomain,
} from "./values.ts";

/** More threads than this gain nothing: each has its own connections and its own 18 MB. */
const WORKERS_MAX = 64;

/** The variable that has the join token: what is on the command line, everybody on the machine can read. */
export const JOIN_TOKEN_VARIABLE = "HEDDLE_JOIN_TOKEN";

/** For help texts. */
export const DEFAULT_PROTOCOL = `opaque if the port is ${OPAQUE_PORTS.join(", ")}, else detect`;

export const PROXY_FLAGS = {
  workload: { type: "string", value: "NAME", help: "Name of this instance, unique in its namespace; required" },
  namespace: { type: "string", short: "n", value: "NAME", default: "default", help: "Namespace of the workload" },
  service: {
    type: "string",
    value: "NAME",
    help: "Service that the workload belongs to; none for a sidecar without an application",
  },
  "service-account": {
    type: "string",
    value: "NAME",
    help: `Name in the certificate that the control plane gives for the token in ${JOIN_TOKEN_VARIABLE} (default: the service, else the workload); without a token there is no certificate`,
  },
  "identity-trust-domain": {
    type: "string",
    value: "DOMAIN",
    default: DEFAULT_TRUST_DOMAIN,
    help: "Trust domain of the mesh: what every identity in it begins with",
  },
  xds: {
    type: "string",
    value: "IP:PORT",
    help: "xDS address of the control plane, spoken to in TLS if it is on another host; without it no service is known",
  },
  outbound: { type: "string", value: "IP:PORT", help: "Listener for calls to other services, routed by their Host" },
  upstream: {
    type: "string",
    multiple: true,
    value: "SERVICE=IP:PORT",
    help: "Listener whose every connection goes to one service",
  },
  inbound: {
    type: "string",
    multiple: true,
    value: "IP:PORT=TARGET[,service=NAME][,port=N][,protocol=P]",
    help: `Listener for calls to the application, and where the application listens, IP:PORT or unix:/PATH (a Unix socket costs less CPU); protocol is one of ${PORT_PROTOCOLS.join(", ")}; default ${DEFAULT_PROTOCOL}`,
  },
  "capture-inbound": {
    type: "string",
    value: "IP:PORT",
    help: "Listener that the rules of `heddle init` redirect calls to the application to, like [::]:4143",
  },
  "capture-outbound": {
    type: "string",
    value: "IP:PORT",
    help: "Listener that they redirect the application's own calls to, like [::]:4140",
  },
  captured: {
    type: "string",
    multiple: true,
    value: "PORT=TARGET[,service=NAME][,port=N][,protocol=P]",
    help: "What is known of a port that captured calls go to, as with --inbound; of others the protocol is detected",
  },
  admin: {
    type: "string",
    value: "IP:PORT",
    default: "127.0.0.1:4191",
    help: "Listener for /metrics, /ready, /live and the other admin pages",
  },
  "insecure-admin": {
    type: "boolean",
    help: "Allow --admin on an address that other hosts reach: they see metrics and settings, but change nothing",
  },
  "shutdown-grace": {
    type: "string",
    value: "DURATION",
    default: "120s",
    help: "How long requests may still take after the first SIGTERM",
  },
  workers: {
    type: "string",
    value: "N",
    default: "1",
    help: "Threads that carry the traffic, 1 to 64: for more than one core",
  },
  ...LOG_FLAGS,
} as const;

/**
 * @param joinToken what the variable {@link JOIN_TOKEN_VARIABLE} has; "" for a sidecar without an identity
 * @throws UsageError naming the flag, what was found and what was expected
 */
export function parseProxyFlags(flags: FlagValues<typeof PROXY_FLAGS>, joinToken = ""): ProxyConfig {
  if (flags.workload === undefined)
    throw new UsageError("--workload is missing", "Say which instance this is: --workload price-1");
  const service = flags.service ?? "";
  const workload = parseLabel("--workload", flags.workload);
  const serviceAccount = parseLabel("--service-account", flags["service-account"] ?? (service || workload));
  const trustDomain = parseTrustDomain("--identity-trust-domain", flags["identity-trust-domain"]);
  if (joinToken !== "") mustBeToken(joinToken);
  return {
    workload,
    namespace: parseLabel("--namespace", flags.namespace),
    service: service === "" ? "" : parseLabel("--service", service),
    control: flags.xds === undefined ? undefined : parseAddress("--xds", flags.xds),
    identity: joinToken === "" || flags.xds === undefined ? undefined : { trustDomain, serviceAccount, joinToken },
    outbound: flags.outbound === undefined ? undefined : parseAddress("--outbound", flags.outbound),
    upstreams: flags.upstream.map(parseUpstream),
    inbound: flags.inbound.map((text) => parseInbound(text, service)),
    capture: parseCapture(flags, service),
    admin: parsePrivateAddress("--admin", flags.admin, flags["insecure-admin"]),
    workers: parseCount("--workers", flags.workers, WORKERS_MAX),
    logLevel: flags["log-level"] as LogLevel,
    logFormat: flags["log-format"] as LogFormat,
    shutdownGraceMs: parseDuration("--shutdown-grace", flags["shutdown-grace"], ["0s", "1h"]),
  };
}

/** @throws UsageError, with nothing of what is in it */
function mustBeToken(text: string): void {
  try {
    decodeJoinToken(text);
  } catch (error) {
    if (!(error instanceof JoinTokenError)) throw error;
    const hint = "`heddle identity token WORKLOAD` prints one; pass it on whole.";
    throw new UsageError(`${JOIN_TOKEN_VARIABLE} has no join token: ${error.message}`, hint);
  }
}

function parseUpstream(text: string): UpstreamConfig {
  const [authority, address, ...surplus] = text.split("=");
  if (authority === undefined || address === undefined || surplus.length > 0) {
    throw new UsageError(`--upstream: expected SERVICE=IP:PORT like product=127.0.0.1:20002, found "${text}"`);
  }
  return { authority: parseAuthority("--upstream", authority), listen: parseAddress("--upstream", address) };
}

const INBOUND_EXAMPLE = "127.0.0.1:20003=127.0.0.1:8080,service=price,port=80,protocol=http";

function parseInbound(text: string, service: string): InboundConfig {
  const { entry, ...port } = parseApplicationPort("--inbound", INBOUND_EXAMPLE, text, service, () => 80);
  return { listen: parseAddress("--inbound", entry), ...port };
}

function parseCapture(flags: FlagValues<typeof PROXY_FLAGS>, service: string): CaptureConfig | undefined {
  const { "capture-inbound": inbound, "capture-outbound": outbound, captured } = flags;
  if (inbound === undefined && outbound === undefined && captured.length === 0) return undefined;
  if (inbound === undefined || outbound === undefined) {
    const hint = "Like --capture-inbound [::]:4143 --capture-outbound [::]:4140, the ports of `heddle init`.";
    throw new UsageError("--capture-inbound, --capture-outbound: one of them is missing; rules redirect to both", hint);
  }
  const ports = captured.map((text) => parseCaptured(text, service));
  for (const [index, { appPort }] of ports.entries()) {
    const twice = ports.findIndex((other) => other.appPort === appPort) < index;
    if (twice) throw new UsageError(`--captured: port ${appPort} is given twice`);
  }
  return {
    inbound: parseAddress("--capture-inbound", inbound),
    outbound: parseAddress("--capture-outbound", outbound),
    ports,
  };
}

const CAPTURED_EXAMPLE = "8080=127.0.0.1:8080,service=price,port=80,protocol=http";

function parseCaptured(text: string, service: string): CapturedPort {
  const { entry, ...port } = parseApplicationPort("--captured", CAPTURED_EXAMPLE, text, service, capturedPort);
  return { appPort: capturedPort(entry), ...port };
}

function capturedPort(entry: string): number {
  return parsePort("--captured", entry);
}

const PORT_SETTINGS = ["service", "port", "protocol"];

/**
 * "ENTRY=TARGET,service=…,port=…,protocol=…"
 *
 * @param defaultPort the service's port if none is given
 */
function parseApplicationPort(
  flag: string,
  example: string,
  text: string,
  service: string,
  defaultPort: (entry: string) => number,
): Omit<InboundConfig, "listen"> & { readonly entry: string } {
  const [addresses = "", ...settings] = text.split(",");
  const [entry, target, ...surplus] = addresses.split("=");
  if (entry === undefined || target === undefined || surplus.length > 0) {
    const form = flag === "--inbound" ? "LISTEN=TARGET,…" : "PORT=TARGET,…";
    throw new UsageError(`${flag}: expected ${form} like ${example}, found "${text}"`);
  }
  const given = new Map<string, string>();
  for (const setting of settings) {
    const equals = setting.indexOf("=");
    const name = equals === -1 ? setting : setting.slice(0, equals);
    if (equals === -1 || !PORT_SETTINGS.includes(name)) {
      const near = didYouMean(suggest(name, PORT_SETTINGS)) || `Like ${example}`;
      throw new UsageError(`${flag}: expected service=…, port=… or protocol=…, found "${setting}"`, near);
    }
    if (given.has(name)) throw new UsageError(`${flag}: ${name} is given twice in "${text}"`);
    given.set(name, setting.slice(equals + 1));
  }
  const named = given.get("service") ?? service;
  if (named === "")
    throw new UsageError(`${flag}: "${text}" says no service`, "Add service=NAME to it, or the flag --service.");
  const number = given.get("port");
  const port = number === undefined ? defaultPort(entry) : parsePort(`${flag} port`, number);
  const protocol = given.get("protocol");
  return {
    entry,
    target: parseTarget(flag, target),
    service: parseLabel(`${flag} service`, named),
    port,
    protocol: protocol === undefined ? defaultProtocol(port) : parseProtocol(`${flag} protocol`, protocol),
  };
}

/** @throws UsageError */
export function parseProtocol(flag: string, text: string): PortProtocol {
  const protocol = portProtocol(text);
  if (protocol !== undefined) return protocol;
  const near = didYouMean(suggest(text, PORT_PROTOCOLS));
  throw new UsageError(`${flag}: expected one of ${PORT_PROTOCOLS.join(", ")}, found "${text}"`, near);
}

/** The command line, without "heddle", that {@link parseProxyFlags} reads as this configuration, but for the join token. */
export function proxyCommandLine(config: ProxyConfig): string[] {
  const words = ["proxy", "--workload", config.workload, "--namespace", config.namespace];
  if (config.service !== "") words.push("--service", config.service);
  if (config.control !== undefined) words.push("--xds", formatAddress(config.control));
  if (config.identity !== undefined) {
    const { serviceAccount, trustDomain } = config.identity;
    words.push("--service-account", serviceAccount, "--identity-trust-domain", trustDomain);
  }
  if (config.outbound !== undefined) words.push("--outbound", formatAddress(config.outbound));
  for (const { authority, listen } of config.upstreams)
    words.push("--upstream", `${authority}=${formatAddress(listen)}`);
  for (const inbound of config.inbound) {
    words.push("--inbound", formatApplicationPort(formatAddress(inbound.listen), inbound));
  }
  if (config.capture !== undefined) {
    const { inbound, outbound, ports } = config.capture;
    words.push("--capture-inbound", formatAddress(inbound), "--capture-outbound", formatAddress(outbound));
    for (const port of ports) words.push("--captured", formatApplicationPort(String(port.appPort), port));
  }
  words.push("--admin", formatAddress(config.admin), "--shutdown-grace", `${config.shutdownGraceMs}ms`);
  if (!isLoopback(config.admin)) words.push("--insecure-admin");
  if (config.workers !== 1) words.push("--workers", String(config.workers));
  words.push("--log-level", config.logLevel, "--log-format", config.logFormat);
  return words;
}

function formatApplicationPort(
  entry: string,
  { target, service, port, protocol }: Omit<InboundConfig, "listen">,
): string {
  const to = "path" in target ? `unix:${target.path}` : formatAddress(target);
  return `${entry}=${to},service=${service},port=${port},protocol=${protocol}`;
}
