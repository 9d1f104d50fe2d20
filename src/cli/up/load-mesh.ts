/** Reads the mesh file for a command: everything that is wrong with it is told at once. */
import { formatDiagnostic, type Diagnostic } from "../../dialects/diagnostic.ts";
import type { MeshFile } from "../../dialects/mesh/mesh-file.ts";
import { readMeshFile } from "../../dialects/mesh/read.ts";
import { KEYBOARD } from "./plan.ts";

export interface LoadedMesh {
  /** Undefined if there are errors. */
  readonly mesh: MeshFile | undefined;
  /** Errors and warnings, one line each. */
  readonly lines: readonly string[];
}

/** Never rejects. */
export async function loadMesh(file: string): Promise<LoadedMesh> {
  const { meshFile, diagnostics } = await readMeshFile(file);
  const problems = [...diagnostics];
  const taken = meshFile?.services.find(({ instances }) => instances.some(({ name }) => name === KEYBOARD));
  if (taken !== undefined) problems.push(keyboardTaken(file, taken.name));
  return { mesh: taken === undefined ? meshFile : undefined, lines: problems.map(formatDiagnostic) };
}

/** Reads the documents that a mesh file names. @returns what is wrong, one line each, and whether they can be obeyed */
export async function checkDocuments({
  resourcePaths,
  namespace,
}: MeshFile): Promise<{ readonly good: boolean; readonly lines: readonly string[] }> {
  if (resourcePaths.length === 0) return { good: true, lines: [] };
  const { readResources } = await import("../../dialects/read-resources.ts");
  const { diagnostics } = await readResources(resourcePaths, namespace);
  return {
    good: diagnostics.every(({ severity }) => severity !== "error"),
    lines: diagnostics.map(formatDiagnostic),
  };
}

function keyboardTaken(file: string, service: string): Diagnostic {
  return {
    severity: "error",
    file,
    line: 1,
    column: 1,
    field: `services.${service}.instances`,
    message: `the name "${KEYBOARD}" is that of the sidecar for the person at the keyboard`,
    hint: "give the instance another name",
  };
}
