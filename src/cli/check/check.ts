/** What `heddle check` is made of: categories of checks. A check is data and one question, so adding one is one object. */

export interface Check<Subject> {
  /** What holds when all is well. It is also the heading of its section in docs/check.md, so unique among all checks. */
  readonly description: string;
  /** Only errors make the command fail. */
  readonly severity: "error" | "warning";
  /** It may come true by itself: it is asked again as long as `--wait` says. */
  readonly retry?: true;
  /** Nothing else can be asked when it fails. */
  readonly fatal?: true;
  /**
   * @returns what is wrong, a line each; none: nothing is
   * @throws Failure: what is wrong is its message
   */
  problems(subject: Subject): readonly string[] | Promise<readonly string[]>;
}

export interface Category<Subject> {
  /** As Linkerd names such: "heddle-identity". */
  readonly name: string;
  readonly checks: readonly Check<Subject>[];
}

export interface CheckResult {
  readonly category: string;
  readonly description: string;
  readonly result: "success" | "warning" | "error";
  /** What is wrong, a line each. */
  readonly problems: readonly string[];
  /** Where it says what to do: "docs/check.md#certificate-config-is-valid". */
  readonly hint: string;
}

/** Where a check is described, as GitHub makes anchors of headings. */
export function hintOf({ description }: Pick<Check<never>, "description">): string {
  const anchor = description
    .toLowerCase()
    .replaceAll(/[^a-z0-9 _-]/g, "")
    .replaceAll(" ", "-");
  return `docs/check.md#${anchor}`;
}
