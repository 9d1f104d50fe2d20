/** All documents of a mesh together: what one file alone does not show is checked here. */
import type { Diagnostic } from "./diagnostic.ts";
import type { Resource, ResourceOf, ResourceType } from "./resource.ts";

/** Documents in one mesh. */
export const RESOURCES_MAX = 10_000;

export interface ResourceSet {
  /** In the order of files and of documents in them: where a dialect lets the oldest win, the first one does. */
  readonly all: readonly Resource[];
  of<T extends ResourceType>(type: T): readonly ResourceOf<T>[];
}

class Resources implements ResourceSet {
  readonly all: readonly Resource[];
  readonly #byType = new Map<ResourceType, Resource[]>();

  constructor(all: readonly Resource[]) {
    this.all = all;
    for (const resource of all) {
      const known = this.#byType.get(resource.type);
      if (known === undefined) this.#byType.set(resource.type, [resource]);
      else known.push(resource);
    }
  }

  of<T extends ResourceType>(type: T): readonly ResourceOf<T>[] {
    return (this.#byType.get(type) ?? []) as unknown as readonly ResourceOf<T>[];
  }
}

export const emptyResourceSet: ResourceSet = new Resources([]);

export interface CheckedResources {
  /** Of use only if no diagnostic is an error. */
  readonly resources: ResourceSet;
  readonly diagnostics: readonly Diagnostic[];
}

/** Puts documents of any number of files together. */
export function resourceSet(all: readonly Resource[]): CheckedResources {
  const diagnostics: Diagnostic[] = [];
  const report = (severity: Diagnostic["severity"], { origin }: Resource, field: string, message: string, hint = "") =>
    diagnostics.push({ severity, file: origin.file, line: origin.line, column: 1, field, message, hint });
  const surplus = all[RESOURCES_MAX];
  if (surplus !== undefined) {
    report("error", surplus, "", `more than ${RESOURCES_MAX} documents, which are not read`);
    return { resources: emptyResourceSet, diagnostics };
  }
  const first = new Map<string, Resource>();
  for (const resource of all) {
    const { kind, namespace, name } = resource.origin;
    const key = `${resource.type} ${namespace} ${name}`;
    const other = first.get(key);
    if (other === undefined) first.set(key, resource);
    else {
      const where = `${other.origin.file}:${other.origin.line}`;
      const message = `${kind.slice(kind.lastIndexOf("/") + 1)} "${name}" of the namespace "${namespace}" is already written at ${where}`;
      report("error", resource, "", message, "leave one of them out, or name it otherwise");
    }
  }
  return { resources: new Resources(all), diagnostics };
}
