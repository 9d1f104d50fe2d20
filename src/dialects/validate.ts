/** Files of any kind that Heddle reads, looked at without a mesh: mesh.yaml with what it names, and other documents. */
import type { Diagnostic } from "./diagnostic.ts";
import type { MeshFile } from "./mesh/mesh-file.ts";
import { parseMeshFile } from "./mesh/parse.ts";
import { checkAgainstMesh } from "./mesh-check.ts";
import { policyTargets } from "./mesh/policy-targets.ts";
import { readText } from "./read-file.ts";
import { type LoadedResources, listFiles, readResources } from "./read-resources.ts";
import { isMapping } from "./shape.ts";
import { defaultPolicySettings, type PolicySettings } from "./target.ts";
import { parseYaml } from "./yaml-document.ts";

export interface Validation {
  /** That were looked at or should have been. */
  readonly files: readonly string[];
  /** Documents that are good by themselves; a mesh.yaml is one. */
  readonly documents: number;
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * Never rejects. Each mesh.yaml is one mesh with the documents that it names; the other files together are one as well.
 *
 * @param paths files and folders, absolute
 * @param nameOf what diagnostics call a file
 */
export async function validateFiles(
  paths: readonly string[],
  nameOf: (file: string) => string = (file) => file,
): Promise<Validation> {
  const listed = await listFiles(paths);
  const files = new Set(listed.diagnostics.map((one) => nameOf(one.file)));
  const diagnostics: Diagnostic[] = listed.diagnostics.map((one) => ({ ...one, file: nameOf(one.file) }));
  let documents = 0;
  const add = (loaded: LoadedResources): void => {
    for (const file of loaded.files) if (!file.endsWith("/")) files.add(nameOf(file));
    diagnostics.push(...loaded.diagnostics);
    documents += loaded.documents;
  };
  const others: string[] = [];
  const missing = new Set(listed.diagnostics.map(({ file }) => file));
  for (const file of listed.files) {
    if (missing.has(file) || file.endsWith("/")) continue;
    const read = await readText(file);
    if (!("text" in read) || !isMesh(read.text, file)) {
      others.push(file);
      continue;
    }
    files.add(nameOf(file));
    const { meshFile, diagnostics: found } = parseMeshFile(read.text, file);
    diagnostics.push(...found.map((one) => ({ ...one, file: nameOf(one.file) })));
    if (meshFile === undefined) continue;
    documents += 1;
    const loaded = await readResources(meshFile.resourcePaths, meshFile.namespace, nameOf);
    add(loaded);
    diagnostics.push(...checkAgainstMesh(loaded.resources, policyTargets(meshFile), settingsOf(meshFile)));
  }
  // What a mesh.yaml has named already has been looked at, with its namespace.
  add(
    await readResources(
      others.filter((file) => !files.has(nameOf(file))),
      undefined,
      nameOf,
    ),
  );
  return { files: [...files], documents, diagnostics };
}

function settingsOf({ policy }: MeshFile): PolicySettings {
  const { default: defaultPolicy, trustDomain, authorizers: providers } = policy;
  return { ...defaultPolicySettings, defaultPolicy, trustDomain, providers };
}

/** By what stands at its top. A file that is no YAML is judged as documents are. */
function isMesh(text: string, file: string): boolean {
  const { value } = parseYaml(text, file);
  return (
    isMapping(value) && "services" in value && !("apiVersion" in value) && !("kind" in value) && !("Kind" in value)
  );
}
