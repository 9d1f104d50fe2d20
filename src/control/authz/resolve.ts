/** Whom people mean on a command line: a caller and a workload that is called. */
import { isIP } from "node:net";

import { closest } from "../../dialects/closest.ts";
import { parseSpiffeId } from "../../model/identity.ts";
import type { Mesh } from "../../model/mesh.ts";
import { parseWorkloadKey, type Workload, type WorkloadPort } from "../../model/workload.ts";
import { ApiError } from "../api-error.ts";
import { type Identities, identityOf } from "../identity-of.ts";
import { parseSocketAddress, type Registration } from "../sources/registration.ts";

/** What names are looked up in. */
export interface World extends Identities {
  readonly mesh: Mesh;
  readonly registrations: readonly Registration[];
}

export interface Caller {
  /** As people call it. */
  readonly name: string;
  /** SPIFFE id, or "". */
  readonly identity: string;
  /** "" if it is not known. */
  readonly address: string;
}

export interface Called {
  readonly workload: Workload;
  readonly port: WorkloadPort;
}

/**
 * @param text a service, a workload or a service account ("price", "price-1", "price.shop"), a SPIFFE id, an IP address
 * @throws ApiError if it is nobody
 */
export function resolveCaller(text: string, namespace: string, world: World): Caller {
  if (isIP(text) !== 0) return { name: text, identity: "", address: text };
  if (text.startsWith("spiffe://")) {
    const who = parseSpiffeId(text);
    const known = world.registrations.find(
      (one) => one.namespace === who?.namespace && one.serviceAccount === who.serviceAccount,
    );
    return { name: text, identity: text, address: known === undefined ? "" : addressOf(known) };
  }
  const wanted = nameAndNamespace(text, namespace);
  const inside = world.registrations.filter((one) => one.namespace === wanted.namespace);
  const found =
    inside.find(({ name }) => name === wanted.name) ??
    inside.find(({ ports }) => ports.some(({ service }) => service === wanted.name)) ??
    inside.find(({ serviceAccount }) => serviceAccount === wanted.name);
  if (found !== undefined) {
    const identity = identityOf(found, found.serviceAccount, world);
    return { name: `${found.name}.${found.namespace}`, identity, address: addressOf(found) };
  }
  const unregistered = certifiedIn(wanted.namespace, world);
  const proved =
    unregistered.find(({ name }) => name === wanted.name) ??
    unregistered.find(({ serviceAccount }) => serviceAccount === wanted.name);
  if (proved !== undefined) {
    return { name: `${proved.name}.${wanted.namespace}`, identity: proved.identity, address: "" };
  }
  const names = [
    ...inside.flatMap(({ name, ports, serviceAccount }) => [
      name,
      serviceAccount,
      ...ports.map(({ service }) => service),
    ]),
    ...unregistered.flatMap(({ name, serviceAccount }) => [name, serviceAccount]),
  ];
  throw nobody("from", text, wanted, names);
}

/** Sidecars that only call others need not be registered: they are known by what they have proved. */
function certifiedIn(
  namespace: string,
  { certified }: World,
): { name: string; serviceAccount: string; identity: string }[] {
  return [...certified].flatMap(([key, identity]) => {
    const workload = parseWorkloadKey(key);
    if (workload?.namespace !== namespace) return [];
    return [{ name: workload.name, serviceAccount: parseSpiffeId(identity)?.serviceAccount ?? "", identity }];
  });
}

/**
 * @param text a service or a workload: "price", "price.shop", "price-1"
 * @param port as callers say it; undefined: the first one
 * @returns every workload that serves it
 * @throws ApiError if there is none, or it has no such port
 */
export function resolveCalled(text: string, namespace: string, port: number | undefined, world: World): Called[] {
  const wanted = nameAndNamespace(text, namespace);
  const inside = world.registrations.filter((one) => one.namespace === wanted.namespace);
  const serving = inside.filter(({ ports }) => ports.some(({ service }) => service === wanted.name));
  const workloads = serving.length > 0 ? serving : inside.filter(({ name }) => name === wanted.name);
  if (workloads.length === 0) {
    const declared = world.mesh.services.some((one) => one.name === wanted.name && one.namespace === wanted.namespace);
    if (declared) throw new ApiError("not-found", `no workload serves ${text} now`, "`heddle endpoints` lists all");
    const names = inside.flatMap(({ name, ports }) => [name, ...ports.map(({ service }) => service)]);
    throw nobody("to", text, wanted, names);
  }
  const portsOf = ({ ports }: Workload): readonly WorkloadPort[] =>
    serving.length > 0 ? ports.filter(({ service }) => service === wanted.name) : ports;
  const number = port ?? portsOf(workloads[0] as Workload)[0]?.port;
  const called = workloads.flatMap((workload) => {
    const found = portsOf(workload).find((one) => one.port === number);
    return found === undefined ? [] : [{ workload, port: found }];
  });
  if (called.length > 0) return called;
  const ports = [...new Set(workloads.flatMap((one) => portsOf(one).map((known) => known.port)))];
  throw new ApiError(
    "not-found",
    `${text} has no port${port === undefined ? "" : ` ${port}`}`,
    ports.length === 0 ? "it only calls others" : `it has ${ports.join(", ")}`,
  );
}

function nameAndNamespace(text: string, namespace: string): { name: string; namespace: string } {
  const dot = text.lastIndexOf(".");
  return dot < 0 ? { name: text, namespace } : { name: text.slice(0, dot), namespace: text.slice(dot + 1) };
}

function nobody(
  field: string,
  text: string,
  { name, namespace }: { readonly name: string; readonly namespace: string },
  names: readonly string[],
): ApiError {
  const near = closest(name, names);
  const hint = near === undefined ? "`heddle endpoints` lists all" : `did you mean ${near}?`;
  const message = `${field}: "${text}" is no service and no workload in the namespace ${namespace}`;
  return new ApiError("not-found", message, hint);
}

function addressOf({ ports, admin, outbound }: Registration): string {
  return ports[0]?.address ?? parseSocketAddress(outbound)?.host ?? parseSocketAddress(admin)?.host ?? "";
}
