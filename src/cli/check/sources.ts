/** Is what people have written in force? */
import { formatDiagnostic } from "../../dialects/diagnostic.ts";
import type { SourceRow } from "../control-client.ts";
import type { Category } from "./check.ts";
import type { World } from "./world.ts";

export const sources: Category<World> = {
  name: "heddle-sources",
  checks: [
    {
      description: "mesh files are valid",
      severity: "error",
      async problems(world) {
        return bad((await world.sources()).filter(({ kind }) => kind === "file"));
      },
    },
    {
      description: "documents are valid",
      severity: "error",
      async problems(world) {
        return bad((await world.sources()).filter(({ kind }) => kind === "resources"));
      },
    },
    {
      description: "policies of all workloads can be made",
      severity: "error",
      async problems(world) {
        return (await world.sources()).flatMap(({ problems = [] }) => problems);
      },
    },
    {
      description: "mesh files and documents have no warnings",
      severity: "warning",
      async problems(world) {
        return said(await world.sources(), "warning");
      },
    },
  ],
};

function bad(rows: readonly SourceRow[]): string[] {
  const errors = said(rows, "error");
  if (errors.length === 0) return [];
  const since = rows.find(({ state, loadedAt }) => state === "bad" && loadedAt !== null)?.loadedAt;
  return [
    since ? `what was read at ${since} stays in force:` : "nothing was good yet, so nothing is in force:",
    ...errors,
  ];
}

function said(rows: readonly SourceRow[], severity: "error" | "warning"): string[] {
  return rows
    .flatMap(({ diagnostics }) => diagnostics)
    .filter((diagnostic) => diagnostic.severity === severity)
    .map(formatDiagnostic);
}
