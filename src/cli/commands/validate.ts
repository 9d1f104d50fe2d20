import { isAbsolute, relative, resolve } from "node:path";
import { defineCommand } from "../command.ts";
import { EXIT_FAILURE, UsageError } from "../errors.ts";
import { json } from "../output.ts";

/** Files and folders of one call. */
const FILES_MAX = 1_000;

export const validate = defineCommand({
  name: "validate",
  description: `Checks files as a mesh would: mesh.yaml with the documents that it names, and documents of Istio, Linkerd, SMI and
Consul by themselves. Everything wrong is told at once, with file, line and column. Of a folder it reads *.yaml, *.yml
and *.json. Exits 1 if there is an error.`,
  positionals: { form: "FILE…", max: FILES_MAX, file: true },
  flags: {
    output: { type: "string", short: "o", choices: ["text", "json"], default: "text", help: "Form of the output" },
  },
  examples: [
    { does: "A mesh and all that it names", line: "heddle validate mesh.yaml" },
    { does: "A folder of documents", line: "heddle validate policies/" },
    { does: "For programs", line: "heddle validate policies/ -o json" },
  ],
  async run({ flags, positionals, io }) {
    if (positionals.length === 0) {
      throw new UsageError("validate needs a file", "Usage: heddle validate FILE… [flags]");
    }
    const [{ formatDiagnostic }, { validateFiles }] = await Promise.all([
      import("../../dialects/diagnostic.ts"),
      import("../../dialects/validate.ts"),
    ]);
    const paths = positionals.map((path) => resolve(io.directory, path));
    const nameOf = (file: string): string => shown(file, io.directory);
    const { files, documents, diagnostics } = await validateFiles(paths, nameOf);
    const errors = diagnostics.filter(({ severity }) => severity === "error").length;
    const warnings = diagnostics.length - errors;
    if (flags.output === "json") io.stdout.write(json({ files, documents, errors, warnings, diagnostics }));
    else {
      for (const diagnostic of diagnostics) io.stdout.write(`${formatDiagnostic(diagnostic)}\n`);
      const read = `${count(documents, "good document")} in ${count(files.length, "file")}`;
      io.stdout.write(`${read}, ${count(errors, "error")}, ${count(warnings, "warning")}\n`);
    }
    return errors === 0 ? 0 : EXIT_FAILURE;
  },
});

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

/** As a person would write it: relative where that leads down. */
function shown(file: string, directory: string): string {
  const path = relative(directory, file);
  return path === "" || path.startsWith("..") || isAbsolute(path) ? file : path;
}
