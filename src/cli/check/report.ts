/** What `heddle check` prints, in the forms of `linkerd check`. */
import type { TextOutput } from "../io.ts";
import { json, type Paint, printable } from "../output.ts";
import type { CheckResult } from "./check.ts";

/** Lines about one check; a program gets all of them by `-o json`. */
const PROBLEM_LINES_MAX = 20;

export interface Report {
  add(result: CheckResult): void;
  end(success: boolean): void;
}

export const REPORT_FORMS = ["table", "json", "short"] as const;

export function reportOf(form: (typeof REPORT_FORMS)[number], output: TextOutput, paint: Paint): Report {
  return form === "json" ? new JsonReport(output) : new TextReport(output, paint, form === "short");
}

/** Written line by line, as results come in. The short form leaves out what is well. */
class TextReport implements Report {
  readonly #output: TextOutput;
  readonly #paint: Paint;
  readonly #short: boolean;
  #category = "";

  constructor(output: TextOutput, paint: Paint, short: boolean) {
    this.#output = output;
    this.#paint = paint;
    this.#short = short;
  }

  add({ category, description, result, problems, hint }: CheckResult): void {
    if (this.#short && result === "success") return;
    if (category !== this.#category) {
      const gap = this.#category === "" ? "" : "\n";
      this.#output.write(`${gap}${category}\n${"-".repeat(category.length)}\n`);
      this.#category = category;
    }
    this.#output.write(`${this.#mark(result)} ${description}\n`);
    if (result === "success") return;
    const shown = problems.slice(0, PROBLEM_LINES_MAX).map(printable);
    const more = problems.length - shown.length;
    const lines = [...shown, ...(more > 0 ? [`and ${more} more`] : []), `see ${hint} for hints`];
    this.#output.write(lines.map((line) => `    ${line}\n`).join(""));
  }

  end(success: boolean): void {
    const gap = this.#category === "" ? "" : "\n";
    this.#output.write(`${gap}Status check results are ${this.#mark(success ? "success" : "error")}\n`);
  }

  #mark(result: CheckResult["result"]): string {
    if (result === "success") return this.#paint("green", "√");
    return result === "warning" ? this.#paint("yellow", "‼") : this.#paint("red", "×");
  }
}

class JsonReport implements Report {
  readonly #output: TextOutput;
  readonly #categories = new Map<string, object[]>();

  constructor(output: TextOutput) {
    this.#output = output;
  }

  add({ category, description, result, problems, hint }: CheckResult): void {
    const checks = this.#categories.get(category) ?? [];
    this.#categories.set(category, checks);
    checks.push(
      result === "success" ? { description, result } : { description, hint, error: problems.join("\n"), result },
    );
  }

  end(success: boolean): void {
    const categories = [...this.#categories].map(([categoryName, checks]) => ({ categoryName, checks }));
    this.#output.write(json({ success, categories }));
  }
}
