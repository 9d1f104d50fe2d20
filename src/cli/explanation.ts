/** The answer of `heddle authz explain` as people read it. */
import type { DocumentOrigin, Explanation, ExplainVerdict } from "./control-client.ts";
import type { Paint } from "./output.ts";

/** "policy.yaml:12", or "" where there is no document. */
export function whereText({ file, line }: DocumentOrigin): string {
  return file === "" ? "" : `${file}:${line}`;
}

export function explanationText({ call, verdicts, notes }: Explanation, paint: Paint): string {
  const { request, identity, address } = call;
  const what = request === null ? "bytes" : `${request.method} ${request.path} (host ${request.host})`;
  const who = identity === "" ? `no identity, address ${address || "not known"}` : identity;
  const lines = [`${call.from} (${who})`, `→ ${call.to}:${call.port} ${what}`, ""];
  for (const verdict of verdicts) lines.push(...verdictLines(verdict, verdicts.length > 1, paint));
  for (const note of notes) lines.push(`Note: ${note}.`);
  return `${lines.join("\n").trimEnd()}\n`;
}

function verdictLines(verdict: ExplainVerdict, several: boolean, paint: Paint): string[] {
  const { allowed, reason, workloads, audited, asks, suggestions } = verdict;
  const word = allowed ? paint("green", "allowed") : paint("red", "refused");
  const where = several ? ` by ${workloads.join(", ")}` : "";
  const lines = [`${word}${where}: ${reason}`];
  for (const origin of audited) lines.push(`  marked by ${origin.name} (${whereText(origin) || origin.kind})`);
  if (asks.length > 0) lines.push(`  if ${asks.join(" and ")} say${asks.length === 1 ? "s" : ""} so too when asked`);
  if (suggestions.length > 0) lines.push("", ...suggestions.map((sentence) => `  ${sentence}`));
  return [...lines, ""];
}
