/** mesh.yaml: from its text to a complete `MeshFile`, or to everything that is wrong with it at once. */
import { resolve } from "node:path";

import type { Diagnostic } from "../diagnostic.ts";
import { parseYaml } from "../yaml-document.ts";
import { MeshCompiler } from "./compile.ts";
import { issuesToDiagnostics } from "./issues.ts";
import type { MeshFile } from "./mesh-file.ts";
import { meshSchema, policySchema, serviceSchema } from "./schema.ts";

export interface ParsedMeshFile {
  /** There unless a diagnostic is an error. */
  readonly meshFile?: MeshFile;
  /** In the order of the text. */
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * Never throws.
 *
 * @param file the path that the text was read from: diagnostics repeat it as it is, folders are relative to it
 */
export function parseMeshFile(text: string, file: string): ParsedMeshFile {
  const document = parseYaml(text, file);
  if (document.diagnostics.length > 0) return { diagnostics: document.diagnostics };

  const shape = meshSchema.safeParse(document.value);
  const diagnostics = shape.success ? [] : issuesToDiagnostics(shape.error.issues, document, file);

  // Services with the right shape are checked further even if others, or the rest of the file, have errors.
  const root = asMapping(document.value);
  const services = asMapping(root["services"]);
  const compiler = new MeshCompiler(document, resolve(file), {
    name: shape.data?.name,
    namespace: shape.data?.namespace ?? textOf(root["namespace"]),
    serviceNames: Object.keys(services),
    resources: shape.data?.resources ?? [],
    policy: policySchema.safeParse(root["policy"]).data ?? {},
  });
  for (const [name, value] of Object.entries(services)) {
    const service = serviceSchema.safeParse(value);
    if (service.success) compiler.add(name, service.data);
  }
  const meshFile = compiler.finish();
  diagnostics.push(...compiler.diagnostics.map((diagnostic) => ({ ...diagnostic, file })));
  diagnostics.sort((a, b) => a.line - b.line || a.column - b.column);

  if (diagnostics.some(({ severity }) => severity === "error")) return { diagnostics };
  return { meshFile, diagnostics };
}

function asMapping(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
