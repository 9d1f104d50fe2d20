/** All documents of a mesh together: what one file alone does not show is checked here. */
import { crossCheck } from "./cross-check.ts";
import type { Diagnostic } from "./diagnostic.ts";
import type { Resource, ResourceOf, ResourceType } from "./resource.ts";

/** Documents in one mesh. */
export const RESOURCES_MAX = 10_000;

export interface ResourceSet {
  /** In the order of files and of documents in them: where a dialect lets the oldest win, the first one does. */
  readonly all: readonly Resource[];
  of<T extends ResourceType>(type: T): readonly ResourceOf<T>[];
  find<T extends ResourceType>(type: T, namespace: string, name: string): ResourceOf<T> | undefined;
}

class Resources implements ResourceSet {
  readonly all: readonly Resource[];
  readonly #byType = new Map<ResourceType, Resource[]>();
  readonly #byName = new Map<string, Resource>();

  constructor(all: readonly Resource[]) {
    this.all = all;
    for (const resource of all) {
      const known = this.#byType.get(resource.type);
      if (known === undefined) this.#byType.set(resource.type, [resource]);
      else known.push(resource);
      const key = nameKey(resource.type, resource.origin.namespace, resource.origin.name);
      if (!this.#byName.has(key)) this.#byName.set(key, resource);
    }
  }

  of<T extends ResourceType>(type: T): readonly ResourceOf<T>[] {
    return (this.#byType.get(type) ?? []) as unknown as readonly ResourceOf<T>[];
  }

  find<T extends ResourceType>(type: T, namespace: string, name: string): ResourceOf<T> | undefined {
    return this.#byName.get(nameKey(type, namespace, name)) as ResourceOf<T> | undefined;
  }
}

function nameKey(type: ResourceType, namespace: string, name: string): string {
  return `${type} ${namespace} ${name}`;
}

export const emptyResourceSet: ResourceSet = new Resources([]);

export interface CheckedResources {
  /** Of use only if no diagnostic is an error. */
  readonly resources: ResourceSet;
  readonly diagnostics: readonly Diagnostic[];
}

/** Puts documents of any number of files together. */
export function resourceSet(all: readonly Resource[]): CheckedResources {
  const surplus = all[RESOURCES_MAX];
  if (surplus !== undefined) {
    const { file, line } = surplus.origin;
    const message = `more than ${RESOURCES_MAX} documents, which are not read`;
    const diagnostic: Diagnostic = { severity: "error", file, line, column: 1, field: "", message, hint: "" };
    return { resources: emptyResourceSet, diagnostics: [diagnostic] };
  }
  const resources = new Resources(all);
  return { resources, diagnostics: crossCheck(resources) };
}
