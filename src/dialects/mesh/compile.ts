/** From what the author wrote to a complete `MeshFile`: defaults filled in, and what no single field shows checked. */
import { basename, dirname, resolve } from "node:path";

import { defaultProtocol } from "../../model/service.ts";
import { closest } from "../closest.ts";
import type { Diagnostic } from "../diagnostic.ts";
import { parseDuration } from "../duration.ts";
import { formatPath, type YamlDocument, type YamlPath } from "../yaml-document.ts";
import {
  defaultMeshPolicy,
  type MeshFile,
  type MeshFileInstance,
  type MeshFilePolicy,
  type MeshFilePort,
  type MeshFileService,
} from "./mesh-file.ts";
import type { InstanceText, PolicyText, PortText, ServiceText } from "./schema.ts";

type ScalarsText = Readonly<Record<string, string | number | boolean>>;

export interface MeshHead {
  readonly name: string | undefined;
  readonly namespace: string | undefined;
  /** Every name under `services`, also of those that have errors. */
  readonly serviceNames: readonly string[];
  readonly resources: readonly string[];
  readonly policy: PolicyText;
}

/** Milliseconds: Istio's for `envoyExtAuthzGrpc`. */
const AUTHORIZER_TIMEOUT_MS = 600;

/** Compiles the services that have the right shape; what else is wrong with them is added to `diagnostics`. */
export class MeshCompiler {
  readonly diagnostics: Diagnostic[] = [];
  readonly #document: YamlDocument;
  readonly #file: string;
  readonly #head: MeshHead;
  readonly #services: MeshFileService[] = [];
  /** Ports that callers may name, by service. */
  readonly #servicePorts = new Map<string, ReadonlySet<number>>();
  readonly #instanceLines = new Map<string, number>();

  /** @param file the absolute path of the file */
  constructor(document: YamlDocument, file: string, head: MeshHead) {
    this.#document = document;
    this.#file = file;
    this.#head = head;
  }

  add(name: string, text: ServiceText): void {
    const path = ["services", name];
    const ports = this.#ports(text, path);
    this.#servicePorts.set(name, new Set(ports.map((port) => port.port)));
    const env = this.#scalars(text.env, [...path, "env"]);
    this.#checkReservedEnv(text.env, ports, [...path, "env"]);
    if (text.ready !== undefined && ports.length === 0) {
      this.#error([...path, "ready"], "value", "a service without ports cannot be asked whether it is ready");
    }
    this.#services.push({
      name,
      command: typeof text.run === "string" ? ["/bin/sh", "-c", text.run] : text.run,
      directory: resolve(dirname(this.#file), text.directory ?? "."),
      ports,
      upstreams: this.#upstreams(text.upstreams ?? [], [...path, "upstreams"]),
      env,
      labels: this.#scalars(text.labels, [...path, "labels"]),
      instances: this.#instances(name, text.instances ?? 1, ports, [...path, "instances"]),
      ready: text.ready ?? "",
    });
  }

  /** Call once, after the last `add`. */
  finish(): MeshFile {
    for (const service of this.#services) {
      service.upstreams.forEach((upstream, i) =>
        this.#checkUpstream(upstream, ["services", service.name, "upstreams", i]),
      );
    }
    return {
      file: this.#file,
      name: this.#head.name ?? labelFrom(basename(dirname(this.#file))),
      namespace: this.#namespace,
      services: this.#services,
      resourcePaths: this.#resourcePaths(),
      policy: this.#policy(this.#head.policy),
    };
  }

  #resourcePaths(): string[] {
    const paths = this.#head.resources.map((path) => resolve(dirname(this.#file), path));
    this.#once(paths, ["resources"], (path) => `${path} is listed twice`);
    return [...new Set(paths)];
  }

  #policy({ default: decides, trustDomain, authorizers = [] }: PolicyText): MeshFilePolicy {
    const names = authorizers.map(({ name }) => name);
    this.#once(names, ["policy", "authorizers"], (name) => `the name ${name} is already used above`);
    return {
      default: decides ?? defaultMeshPolicy.default,
      trustDomain: trustDomain ?? defaultMeshPolicy.trustDomain,
      authorizers: authorizers.map(({ name, address, timeout, failOpen }) => ({
        name,
        address,
        timeoutMs: parseDuration(timeout ?? "") ?? AUTHORIZER_TIMEOUT_MS,
        failOpen: failOpen ?? false,
      })),
    };
  }

  #once(values: readonly string[], path: YamlPath, message: (value: string) => string): void {
    const seen = new Set<string>();
    values.forEach((value, i) => {
      if (seen.has(value)) this.#error([...path, i], "value", message(value));
      seen.add(value);
    });
  }

  get #namespace(): string {
    return this.#head.namespace ?? "default";
  }

  #ports(text: ServiceText, path: YamlPath): MeshFilePort[] {
    if (text.ports === undefined) {
      const port = text.port ?? 80;
      return [{ name: "http", port, protocol: text.protocol ?? defaultProtocol(port), env: "PORT" }];
    }
    for (const short of ["port", "protocol"] as const) {
      if (text[short] === undefined) continue;
      const hint = `move it into "ports", or leave "ports" out`;
      this.#error([...path, short], "key", `"${short}" and "ports" do not go together`, hint);
    }
    const ports = text.ports.map((port, i) => this.#port(port, i, [...path, "ports", i]));
    for (const field of ["name", "port", "env"] as const) {
      this.#unique(ports, field, [...path, "ports"]);
    }
    return ports;
  }

  #port(text: PortText, index: number, path: YamlPath): MeshFilePort {
    let name = text.name;
    if (name === undefined && index > 0) {
      this.#error([...path, "name"], "value", "missing; every port after the first one needs a name");
    }
    name ??= index === 0 ? "http" : `port-${text.port}`;
    const variable = index === 0 ? "PORT" : `PORT_${name.toUpperCase().replaceAll("-", "_")}`;
    const protocol = text.protocol ?? defaultProtocol(text.port);
    return { name, port: text.port, protocol, env: text.env ?? variable };
  }

  #unique(ports: readonly MeshFilePort[], field: "name" | "port" | "env", path: YamlPath): void {
    const first = new Map<string | number, number>();
    ports.forEach((port, i) => {
      const value = port[field];
      const other = first.get(value);
      if (other === undefined) first.set(value, i);
      else {
        const line = this.#document.position([...path, other]).line;
        const what = { name: "port name", port: "port number", env: "variable" }[field];
        this.#error([...path, i, field], "value", `the ${what} ${value} is already used by the port on line ${line}`);
      }
    });
  }

  #instances(
    service: string,
    text: number | readonly InstanceText[],
    ports: readonly MeshFilePort[],
    path: YamlPath,
  ): MeshFileInstance[] {
    const list: readonly InstanceText[] = typeof text === "number" ? Array.from({ length: text }, () => ({})) : text;
    return list.map((instance, i) => {
      const at = typeof text === "number" ? path : [...path, i];
      const name = instance.name ?? `${service}-${i + 1}`;
      const shown = instance.name === undefined ? at : [...at, "name"];
      if (name.length > 63) {
        this.#error(shown, "value", `the instance name ${name} has ${name.length} characters; at most 63 are possible`);
      }
      const line = this.#document.position(shown).line;
      const first = this.#instanceLines.get(name);
      if (first === undefined) this.#instanceLines.set(name, line);
      else this.#error(shown, "value", `the instance name ${name} is already used on line ${first}`);
      this.#checkReservedEnv(instance.env, ports, [...at, "env"]);
      return {
        name,
        env: this.#scalars(instance.env, [...at, "env"]),
        labels: this.#scalars(instance.labels, [...at, "labels"]),
      };
    });
  }

  #upstreams(upstreams: readonly string[], path: YamlPath): string[] {
    const seen = new Set<string>();
    upstreams.forEach((upstream, i) => {
      if (seen.has(upstream)) this.#error([...path, i], "value", `the upstream ${upstream} is listed twice`);
      seen.add(upstream);
      const port = Number(/:(\d+)$/.exec(upstream)?.[1] ?? 1);
      if (port < 1 || port > 65_535)
        this.#error([...path, i], "value", `expected a port number, 1 to 65535; found ${port}`);
    });
    return [...seen];
  }

  #checkUpstream(upstream: string, path: YamlPath): void {
    const [host, port] = upstream.split(":") as [string, string | undefined];
    const [name, namespace = this.#namespace] = host.split(".") as [string, string | undefined];
    if (namespace !== this.#namespace || !this.#head.serviceNames.includes(name)) {
      const near = namespace === this.#namespace ? closest(name, this.#head.serviceNames) : undefined;
      const hint = near === undefined ? "it answers once something registers it" : `did you mean "${near}"?`;
      this.#report("warning", path, "value", `no service of this file is called ${host}`, hint);
      return;
    }
    const ports = this.#servicePorts.get(name);
    if (ports === undefined) return; // It has errors of its own.
    if (ports.size === 0) {
      this.#report("warning", path, "value", `${name} has no ports, so it cannot be called`);
    } else if (port !== undefined && !ports.has(Number(port))) {
      const known = [...ports].join(", ");
      this.#report("warning", path, "value", `${name} has no port ${port}`, `it has ${known}`);
    }
  }

  #checkReservedEnv(text: ScalarsText | undefined, ports: readonly MeshFilePort[], path: YamlPath): void {
    for (const name of Object.keys(text ?? {})) {
      if (!ports.some((port) => port.env === name)) continue;
      const hint = `Heddle chooses the port; read it from ${name}, or name another variable with "env" in "ports"`;
      this.#error([...path, name], "key", `${name} is set by Heddle: it tells the program where to listen`, hint);
    }
  }

  /** Numbers and booleans as they were written, so that a version 1.10 stays one. */
  #scalars(text: ScalarsText | undefined, path: YamlPath): Record<string, string> {
    return Object.fromEntries(
      Object.entries(text ?? {}).map(([name, value]) => [
        name,
        typeof value === "string" ? value : (this.#document.source([...path, name]) ?? String(value)),
      ]),
    );
  }

  #error(path: YamlPath, what: "key" | "value", message: string, hint = ""): void {
    this.#report("error", path, what, message, hint);
  }

  #report(severity: Diagnostic["severity"], path: YamlPath, what: "key" | "value", message: string, hint = ""): void {
    const { line, column } = this.#document.position(path, what);
    this.diagnostics.push({ severity, file: this.#file, line, column, field: formatPath(path), message, hint });
  }
}

/** A DNS label from the name of a folder. */
function labelFrom(folder: string): string {
  const label = folder
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .slice(0, 63)
    .replaceAll(/^-+|-+$/g, "");
  return label === "" ? "mesh" : label;
}
