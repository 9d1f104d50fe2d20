/**
 * Every kind of document that Heddle knows, and text of any of them to resources. A kind of a family that Heddle knows
 * and does not obey is refused by its name.
 */
import type { Diagnostic } from "./diagnostic.ts";
import { peerAuthentication } from "./istio/peer-authentication.ts";
import type { Resource, ResourceText, ResourceType, Specs } from "./resource.ts";
import { isMapping, knownHint, Node, type Shape } from "./shape.ts";
import { parseYamlStream, type YamlDocument } from "./yaml-document.ts";

export interface ResourceKind<T extends ResourceType = ResourceType> {
  readonly type: T;
  readonly group: string;
  readonly kind: string;
  /** The whole document by its version; Consul's have one, called "". */
  readonly versions: Readonly<Record<string, Shape<ResourceText<Specs[T]>>>>;
}

type AnyKind = { readonly [T in ResourceType]: ResourceKind<T> }[ResourceType];

export const KINDS: readonly AnyKind[] = [
  {
    type: "security.istio.io/PeerAuthentication",
    group: "security.istio.io",
    kind: "PeerAuthentication",
    versions: { v1: peerAuthentication, v1beta1: peerAuthentication },
  },
];

/** Kinds of the same families that are not obeyed yet, by group. */
export const NOT_YET: Readonly<Record<string, readonly string[]>> = {};

/** Documents within lists of one file. */
export const LIST_ITEMS_MAX = 1_000;

export interface ParsedResources {
  readonly resources: readonly Resource[];
  /** In the order of the text. If one of them is an error, the file as a whole is of no use. */
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * Reads YAML or JSON with any number of documents. Never throws.
 *
 * @param file what diagnostics and origins call the file
 * @param namespace the namespace of documents that say none, as kubectl takes that of its context
 */
export function parseResources(text: string, file: string, namespace = "default"): ParsedResources {
  const diagnostics: Diagnostic[] = [];
  const resources: Resource[] = [];
  for (const document of parseYamlStream(text, file)) {
    diagnostics.push(...document.diagnostics);
    if (document.diagnostics.length > 0) continue;
    const root = new Node(document, file, diagnostics, [], document.value);
    for (const node of documentsIn(root)) {
      const resource = readResource(node, document, file, namespace, diagnostics);
      if (resource !== undefined) resources.push(resource);
    }
  }
  diagnostics.sort((a, b) => a.line - b.line || a.column - b.column);
  return { resources, diagnostics };
}

/** The document itself, or what it lists (`kind: List`, as kubectl writes it). */
function documentsIn(root: Node): readonly Node[] {
  if (root.at("kind").value !== "List" || root.at("apiVersion").value !== "v1") return [root];
  const items = root.at("items");
  if (!Array.isArray(items.value)) {
    items.unexpected("a list of documents");
    return [];
  }
  const { length } = items.value;
  if (length > LIST_ITEMS_MAX) {
    items.error(`${length} documents; at most ${LIST_ITEMS_MAX} are read`, "split it into several files");
    return [];
  }
  for (const key of Object.keys(root.value as object)) {
    const known = ["apiVersion", "kind", "items", "metadata"];
    if (!known.includes(key)) root.at(key).error(`unknown field "${key}"`, knownHint(key, known), "key");
  }
  return Array.from({ length }, (_, i) => items.at(i));
}

function readResource(
  node: Node,
  document: YamlDocument,
  file: string,
  namespace: string,
  diagnostics: readonly Diagnostic[],
): Resource | undefined {
  const found = kindOf(node);
  if (found === undefined) return undefined;
  const { kind, version } = found;
  const before = diagnostics.length;
  const shape = kind.versions[version] as Shape<ResourceText<Specs[ResourceType]>>;
  const read = shape.read(node);
  if (read === undefined || diagnostics.slice(before).some(({ severity }) => severity === "error")) return undefined;
  const { name, labels, annotations, spec } = read.value;
  const origin = {
    kind: [kind.group, version, kind.kind].filter((part) => part !== "").join("/"),
    namespace: read.value.namespace ?? namespace,
    name,
    file,
    line: document.position(node.path).line,
  };
  return { type: kind.type, origin, labels, annotations, spec } as Resource;
}

/** By `apiVersion` and `kind`, or by Consul's `Kind`; undefined if it is none that Heddle knows, which is reported. */
function kindOf(node: Node): { kind: AnyKind; version: string } | undefined {
  if (!isMapping(node.value)) return node.unexpected('a document with "apiVersion" and "kind", or with "Kind"');
  const consul = node.at("Kind");
  if (!consul.absent) return named(consul, "consul", "", consul.value);
  const apiVersion = node.at("apiVersion");
  const kind = node.at("kind");
  if (kind.absent || apiVersion.absent) {
    const hint = 'Istio, Linkerd and SMI: "apiVersion" and "kind"; Consul: "Kind"';
    node.error(`it is not said what kind of document this is`, hint);
    return undefined;
  }
  const [, group = "", version = ""] = /^(?:([^/]*)\/)?([^/]*)$/.exec(String(apiVersion.value)) ?? [];
  return named(kind, group, version, kind.value, apiVersion);
}

function named(node: Node, group: string, version: string, value: unknown, apiVersion = node) {
  const kind = KINDS.find((known) => known.group === group && known.kind === value);
  if (kind !== undefined) {
    if (Object.hasOwn(kind.versions, version)) return { kind, version };
    const versions = Object.keys(kind.versions);
    apiVersion.unexpected(`one of ${versions.map((known) => `"${group}/${known}"`).join(", ")} for ${kind.kind}`);
    return undefined;
  }
  if (typeof value === "string" && (NOT_YET[group] ?? []).includes(value)) {
    node.error(`${value} of ${group} is not supported yet`);
    return undefined;
  }
  const groups = [...new Set([...KINDS.map((known) => known.group), ...Object.keys(NOT_YET)])];
  const kinds = KINDS.filter((known) => known.group === group).map((known) => known.kind);
  if (kinds.length > 0) {
    node.error(`unknown kind ${String(value)} of ${group}`, knownHint(String(value), kinds));
    return undefined;
  }
  const elsewhere = KINDS.find((known) => known.kind === value);
  const hint = elsewhere === undefined ? knownHint(group, groups) : `${elsewhere.kind} belongs to ${elsewhere.group}`;
  const what = group === "" ? "Kubernetes' own kinds" : `kinds of ${group}`;
  apiVersion.error(`${what} are not read; found ${String(value)}`, hint);
  return undefined;
}
