/** A problem in somebody's text: what every dialect reports and every command prints. */

export interface Diagnostic {
  readonly severity: "error" | "warning";
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** Where in the document: "services.price.ports[0].port"; "" for the whole document. */
  readonly field: string;
  /** What was found and what was expected. */
  readonly message: string;
  /** What to do about it, or "". */
  readonly hint: string;
}

/** `file:line:column: severity: field: message (hint)`, the form that editors and terminals turn into a link. */
export function formatDiagnostic(diagnostic: Diagnostic): string {
  const { file, line, column, severity, field, message, hint } = diagnostic;
  const where = field === "" ? "" : `${field}: `;
  return `${file}:${line}:${column}: ${severity}: ${where}${message}${hint === "" ? "" : ` (${hint})`}`;
}
