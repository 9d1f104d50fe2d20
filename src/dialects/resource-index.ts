/** The documents of a mesh, to be found by kind and by name. */
import type { Resource, ResourceOf, ResourceType } from "./resource.ts";

export interface ResourceSet {
  /** In the order of files and of documents in them: where a dialect lets the oldest win, the first one does. */
  readonly all: readonly Resource[];
  of<T extends ResourceType>(type: T): readonly ResourceOf<T>[];
  find<T extends ResourceType>(type: T, namespace: string, name: string): ResourceOf<T> | undefined;
}

export class ResourceIndex implements ResourceSet {
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

export const emptyResourceSet: ResourceSet = new ResourceIndex([]);
