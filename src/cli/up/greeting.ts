/** What `heddle up` says when everything is ready: a few lines, each something to do next. */
import { delimiter, dirname, isAbsolute, relative } from "node:path";
import type { MeshFile, MeshFileService } from "../../dialects/mesh/mesh-file.ts";
import type { Paint } from "../output.ts";
import { DEFAULT_CONTROL } from "../control-client.ts";
import { formatAddress } from "../values.ts";
import { heddleCommand } from "./host.ts";
import type { MeshAddresses } from "./plan.ts";

export interface GreetingFacts {
  readonly mesh: MeshFile;
  readonly addresses: MeshAddresses;
  /** How the user calls Heddle. */
  readonly heddle: string;
  /** From the start until all was ready. */
  readonly seconds: number;
}

/** At most six lines, each with a newline. */
export function greeting({ mesh, addresses, heddle, seconds }: GreetingFacts, paint: Paint): string {
  const instances = mesh.services.reduce((sum, service) => sum + service.instances.length, 0);
  const services = mesh.services.length;
  const api = formatAddress(addresses.api);
  const control = api === DEFAULT_CONTROL ? "" : ` --control ${api}`;
  const lines = [
    `${paint("bold", mesh.name)} is ready: ${count(services, "service")}, ${count(instances, "instance")}, in ${seconds.toFixed(1)} s`,
  ];
  const entry = entryService(mesh);
  if (entry !== undefined) {
    lines.push(
      `  call a service   ${paint("cyan", `curl -H 'Host: ${entry.name}' http://${formatAddress(addresses.outbound)}/`)}`,
    );
  }
  lines.push(
    `  watch traffic    ${paint("cyan", `${heddle} stat -w${control}`)}`,
    `  list addresses   ${paint("cyan", `${heddle} endpoints${control}`)}`,
    `  stop             ${paint("cyan", "Ctrl-C")}`,
  );
  return lines.map((line) => `${line}\n`).join("");
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** The service that a person would call first: one that speaks HTTP and that no other service calls, if there is such. */
function entryService(mesh: MeshFile): MeshFileService | undefined {
  const http = mesh.services.filter(({ ports }) => ports[0]?.protocol === "http" || ports[0]?.protocol === "detect");
  const called = new Set(mesh.services.flatMap(({ upstreams }) => upstreams.map((name) => name.split(/[.:]/)[0])));
  return http.find(({ name }) => !called.has(name)) ?? http[0];
}

/** "bin/heddle" in a clone, the whole path elsewhere, "heddle" where it is installed. */
export function heddleWord(directory: string, searchPath = process.env["PATH"] ?? ""): string {
  const command = heddleCommand()[1] ?? "";
  const path = relative(directory, command);
  const found = searchPath.split(delimiter).includes(dirname(command));
  if (found || command.includes("node_modules")) return "heddle";
  return path.startsWith("..") || isAbsolute(path) ? command : path;
}
