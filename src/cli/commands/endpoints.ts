import { defineCommand } from "../command.ts";
import { CONTROL_FLAG, ControlClient, type EndpointRow, type WorkloadRow } from "../control-client.ts";
import { json, table, type Column } from "../output.ts";
import { parseLabel } from "../values.ts";

/** Services that one call may name. */
const SERVICES_MAX = 100;

const COLUMNS: readonly Column[] = [
  { title: "NAMESPACE", align: "left" },
  { title: "IP", align: "left" },
  { title: "PORT", align: "left" },
  { title: "WORKLOAD", align: "left" },
  { title: "SERVICE", align: "left" },
  { title: "HEALTH", align: "left" },
  { title: "OUTBOUND", align: "left" },
  { title: "ADMIN", align: "left" },
];

export const endpoints = defineCommand({
  name: "endpoints",
  description: `Lists where each service is reached: one line per instance and port. IP and PORT are those of the inbound listener of its
sidecar; OUTBOUND and ADMIN are the sidecar's other listeners. Sidecars without a service have a line of their own.`,
  positionals: { form: "[SERVICE…]", max: SERVICES_MAX },
  flags: {
    namespace: { type: "string", short: "n", value: "NAME", help: "Only this namespace (default: all)" },
    output: { type: "string", short: "o", choices: ["table", "json"], default: "table", help: "Form of the output" },
    ...CONTROL_FLAG,
  },
  examples: [
    { does: "Every endpoint of the mesh", line: "heddle endpoints" },
    { does: "Those of price, with labels and protocols", line: "heddle endpoints price -o json" },
  ],
  async run({ flags, positionals, io }) {
    const client = ControlClient.from(flags.control, io);
    const namespace = flags.namespace === undefined ? undefined : parseLabel("--namespace", flags.namespace);
    const names = positionals.map((name) => parseLabel("SERVICE", name));
    const [all, workloads] = await Promise.all([client.endpoints(namespace), client.workloads()]);
    const found = all.filter(({ service }) => names.length === 0 || names.includes(service));
    const lines = found.map((endpoint) => ({ endpoint, sidecar: workloadOf(endpoint, workloads) }));
    const serving = new Set(workloads.filter(({ ports }) => ports.length > 0));
    const others = names.length > 0 ? [] : workloads.filter((workload) => !serving.has(workload));
    const callers = others.filter((workload) => namespace === undefined || workload.namespace === namespace);
    if (flags.output === "json") {
      io.stdout.write(json([...lines.map(endpointJson), ...callers.map(callerJson)]));
    } else if (lines.length + callers.length > 0) {
      io.stdout.write(table(COLUMNS, [...lines.map(endpointCells), ...callers.map(callerCells)]));
    }
    for (const name of names) {
      if (!found.some(({ service }) => service === name)) io.stderr.write(`No endpoints of ${name} found.\n`);
    }
    if (names.length === 0 && lines.length === 0) io.stderr.write("No endpoints found.\n");
    return 0;
  },
});

interface Line {
  readonly endpoint: EndpointRow;
  readonly sidecar: WorkloadRow | undefined;
}

function workloadOf(endpoint: EndpointRow, workloads: readonly WorkloadRow[]): WorkloadRow | undefined {
  return workloads.find(({ name, namespace }) => name === endpoint.workload && namespace === endpoint.namespace);
}

function endpointCells({ endpoint, sidecar }: Line): string[] {
  const { namespace, ip, endpointPort, workload, service, port, health } = endpoint;
  const listeners = [sidecar?.outbound || "-", sidecar?.admin || "-"];
  return [namespace, ip, String(endpointPort), workload, `${service}:${port}`, health, ...listeners];
}

function callerCells({ namespace, name, health, outbound, admin }: WorkloadRow): string[] {
  return [namespace, "-", "-", name, "-", health, outbound || "-", admin || "-"];
}

function endpointJson({ endpoint, sidecar }: Line): Record<string, unknown> {
  return {
    namespace: endpoint.namespace,
    ip: endpoint.ip,
    port: endpoint.endpointPort,
    workload: endpoint.workload,
    service: endpoint.service,
    service_port: endpoint.port,
    protocol: endpoint.protocol,
    health: endpoint.health,
    weight: endpoint.weight,
    meshed: endpoint.meshed,
    labels: endpoint.labels,
    ...sidecarJson(sidecar),
  };
}

function callerJson(workload: WorkloadRow): Record<string, unknown> {
  const { namespace, name, health, weight, labels } = workload;
  const none = { ip: null, port: null, service: null, service_port: null, protocol: null };
  return {
    namespace,
    ...none,
    workload: name,
    health,
    weight,
    meshed: Boolean(workload.admin),
    labels,
    ...sidecarJson(workload),
  };
}

function sidecarJson(sidecar: WorkloadRow | undefined): Record<string, unknown> {
  return { outbound: sidecar?.outbound || null, admin: sidecar?.admin || null, upstreams: sidecar?.upstreams ?? [] };
}
