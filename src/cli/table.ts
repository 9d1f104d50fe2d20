/** All commands: name and summary at hand, the code loaded only when it is run. A sidecar starts without the rest of the CLI. */
import type { CommandEntry } from "./command.ts";

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "demo",
    summary: "Run the example shop with load, and watch its success rate and latency",
    load: async () => (await import("./commands/demo.ts")).demo,
  },
  {
    name: "up",
    summary: "Run the services of a mesh.yaml, each with a sidecar, and a control plane",
    load: async () => (await import("./commands/up.ts")).up,
  },
  {
    name: "run",
    summary: "Run one program with a sidecar and join a running mesh",
    load: async () => (await import("./commands/run.ts")).run,
  },
  {
    name: "check",
    summary: "Check the control plane, the certificates and the sidecars for problems",
    load: async () => (await import("./commands/check.ts")).check,
  },
  {
    name: "stat",
    summary: "Show success rate, request rate and latency of services or workloads",
    load: async () => (await import("./commands/stat.ts")).stat,
  },
  {
    name: "edges",
    summary: "Show who calls whom, and whether it is secured",
    load: async () => (await import("./commands/edges.ts")).edges,
  },
  {
    name: "authz",
    summary: "List who may call whom, explain a verdict, or write rules for the traffic seen",
    load: async () => (await import("./commands/authz.ts")).authz,
  },
  {
    name: "endpoints",
    summary: "List the addresses that serve each service, and the ports of their sidecars",
    load: async () => (await import("./commands/endpoints.ts")).endpoints,
  },
  {
    name: "identity",
    summary: "Show and rotate the certificates that the sidecars prove themselves with",
    load: async () => (await import("./commands/identity.ts")).identity,
  },
  {
    name: "validate",
    summary: "Check mesh.yaml and documents of Istio, Linkerd, SMI and Consul",
    load: async () => (await import("./commands/validate.ts")).validate,
  },
  {
    name: "explain",
    summary: "Say what an error code means and what to look at",
    load: async () => (await import("./commands/explain.ts")).explain,
  },
  {
    name: "control",
    summary: "Run the control plane alone",
    load: async () => (await import("./commands/control.ts")).control,
  },
  {
    name: "proxy",
    summary: "Run one sidecar proxy alone",
    load: async () => (await import("./commands/proxy.ts")).proxy,
  },
  {
    name: "init",
    summary: "Bring a workload's connections to its sidecar by firewall rules",
    load: async () => (await import("./commands/init.ts")).init,
  },
  {
    name: "version",
    summary: "Print the version of this program and of the control plane",
    load: async () => (await import("./commands/version.ts")).version,
  },
  {
    name: "completion",
    summary: "Print the completion script for bash, zsh or fish",
    load: async () => (await import("./commands/completion.ts")).completion,
  },
];
