/** All documents of a mesh together: what one file alone does not show is checked here. */
import { crossCheck } from "./cross-check.ts";
import type { Diagnostic } from "./diagnostic.ts";
import type { Resource } from "./resource.ts";
import { emptyResourceSet, ResourceIndex, type ResourceSet } from "./resource-index.ts";

/** Documents in one mesh. */
export const RESOURCES_MAX = 10_000;

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
  const resources = new ResourceIndex(all);
  return { resources, diagnostics: crossCheck(resources) };
}
