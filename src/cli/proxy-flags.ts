/** The flags of `heddle proxy`, both ways: a command line to a ProxyConfig, and a ProxyConfig to a command line. */
import { DEFAULT_TRUST_DOMAIN } from "../model/identity.ts";
import { defaultProtocol, OPAQUE_PORTS, PORT_PROTOCOLS, type PortProtocol, portProtocol } from "../model/service.ts";
import type { InboundConfig, ProxyConfig, UpstreamConfig } from "../proxy/config.ts";
import type { LogFormat, LogLevel } from "../telemetry/log.ts";
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
  xds: { type: "string", value: "IP:PORT", help: "xDS address of the control plane; without it no service is known" },
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
  return {
    workload,
    namespace: parseLabel("--namespace", flags.namespace),
    service: service === "" ? "" : parseLabel("--service", service),
    control: flags.xds === undefined ? undefined : parseAddress("--xds", flags.xds),
    identity: joinToken === "" || flags.xds === undefined ? undefined : { trustDomain, serviceAccount, joinToken },
    outbound: flags.outbound === undefined ? undefined : parseAddress("--outbound", flags.outbound),
    upstreams: flags.upstream.map(parseUpstream),
    inbound: flags.inbound.map((text) => parseInbound(text, service)),
    admin: parsePrivateAddress("--admin", flags.admin, flags["insecure-admin"]),
    workers: parseCount("--workers", flags.workers, WORKERS_MAX),
    logLevel: flags["log-level"] as LogLevel,
    logFormat: flags["log-format"] as LogFormat,
    shutdownGraceMs: parseDuration("--shutdown-grace", flags["shutdown-grace"], ["0s", "1h"]),
  };
}

function parseUpstream(text: string): UpstreamConfig {
  const [authority, address, ...surplus] = text.split("=");
  if (authority === undefined || address === undefined || surplus.length > 0) {
    throw new UsageError(`--upstream: expected SERVICE=IP:PORT like product=127.0.0.1:20002, found "${text}"`);
  }
  return { authority: parseAuthority("--upstream", authority), listen: parseAddress("--upstream", address) };
}

const INBOUND_SETTINGS = ["service", "port", "protocol"];
const INBOUND_EXAMPLE = "127.0.0.1:20003=127.0.0.1:8080,service=price,port=80,protocol=http";

function parseInbound(text: string, service: string): InboundConfig {
  const [addresses = "", ...settings] = text.split(",");
  const [listen, target, ...surplus] = addresses.split("=");
  if (listen === undefined || target === undefined || surplus.length > 0) {
    throw new UsageError(`--inbound: expected LISTEN=TARGET,… like ${INBOUND_EXAMPLE}, found "${text}"`);
  }
  const given = new Map<string, string>();
  for (const setting of settings) {
    const equals = setting.indexOf("=");
    const name = equals === -1 ? setting : setting.slice(0, equals);
    if (equals === -1 || !INBOUND_SETTINGS.includes(name)) {
      const near = didYouMean(suggest(name, INBOUND_SETTINGS)) || `Like ${INBOUND_EXAMPLE}`;
      throw new UsageError(`--inbound: expected service=…, port=… or protocol=…, found "${setting}"`, near);
    }
    if (given.has(name)) throw new UsageError(`--inbound: ${name} is given twice in "${text}"`);
    given.set(name, setting.slice(equals + 1));
  }
  const named = given.get("service") ?? service;
  if (named === "")
    throw new UsageError(`--inbound: "${text}" says no service`, "Add service=NAME to it, or the flag --service.");
  const port = parsePort("--inbound port", given.get("port") ?? "80");
  const protocol = given.get("protocol");
  return {
    listen: parseAddress("--inbound", listen),
    target: parseTarget("--inbound", target),
    service: parseLabel("--inbound service", named),
    port,
    protocol: protocol === undefined ? defaultProtocol(port) : parseProtocol("--inbound protocol", protocol),
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
  for (const { listen, target, service, port, protocol } of config.inbound) {
    const to = "path" in target ? `unix:${target.path}` : formatAddress(target);
    const addresses = `${formatAddress(listen)}=${to}`;
    words.push("--inbound", `${addresses},service=${service},port=${port},protocol=${protocol}`);
  }
  words.push("--admin", formatAddress(config.admin), "--shutdown-grace", `${config.shutdownGraceMs}ms`);
  if (!isLoopback(config.admin)) words.push("--insecure-admin");
  if (config.workers !== 1) words.push("--workers", String(config.workers));
  words.push("--log-level", config.logLevel, "--log-format", config.logFormat);
  return words;
}
