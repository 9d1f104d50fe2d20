/** What a shape reads of a whole document, of whatever kind. */
export interface ResourceText<S> {
  readonly name: string;
  /** undefined: it says none. */
  readonly namespace: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: S;
}
