/** A running mesh as checks see it: what the control plane says at one moment, each thing asked once and only if wanted. */
import type { ControlClient, IdentityAnswer, ProxyRow, SourceRow, WorkloadRow } from "../control-client.ts";
import { Failure } from "../errors.ts";

export interface WorldOptions {
  readonly client: Pick<ControlClient, "about" | "ready" | "sources" | "identity" | "workloads" | "proxies">;
  /** Whose workloads are looked at; undefined: all. */
  readonly namespace: string | undefined;
  /** Of this command line. */
  readonly version: string;
  /** The wall clock: milliseconds since the epoch. */
  readonly now: () => number;
  /** Does something accept connections at HOST:PORT? */
  readonly accepts: (address: string) => Promise<boolean>;
}

interface Named {
  readonly namespace: string;
  readonly name: string;
}

export class World {
  readonly namespace: string | undefined;
  readonly version: string;
  readonly now: number;
  readonly accepts: WorldOptions["accepts"];
  readonly about: () => ReturnType<ControlClient["about"]>;
  readonly ready: () => Promise<boolean>;
  readonly sources: () => Promise<readonly SourceRow[]>;
  readonly identity: () => Promise<IdentityAnswer>;
  /** Workloads that have a sidecar, of the namespace. */
  readonly meshed: () => Promise<readonly WorkloadRow[]>;
  /** xDS streams of the namespace, those of other programs than ours included. */
  readonly proxies: () => Promise<readonly ProxyRow[]>;

  constructor({ client, namespace, version, now, accepts }: WorldOptions) {
    const ours = (row: { readonly namespace: string }): boolean =>
      namespace === undefined || row.namespace === namespace;
    this.namespace = namespace;
    this.version = version;
    this.now = now();
    this.accepts = accepts;
    this.about = once(() => client.about());
    this.ready = once(() => client.ready());
    this.sources = once(() => client.sources());
    this.identity = once(async () => {
      const answer = await client.identity();
      mustSay(answer, "problem", "kept");
      return { ...answer, proxies: answer.proxies.filter(ours) };
    });
    this.meshed = once(async () => (await client.workloads()).filter((row) => ours(row) && row.admin));
    this.proxies = once(async () => {
      const rows = await client.proxies();
      for (const row of rows) mustSay(row, "program", "refused", "ready", "unanswered");
      return rows.filter(ours);
    });
  }

  /** Sidecars of ours that are connected. */
  async sidecars(): Promise<readonly ProxyRow[]> {
    return (await this.proxies()).filter(({ program, workload }) => program === "heddle" && workload !== "");
  }
}

/** @throws Failure for an answer of a control plane that does not know a field yet */
function mustSay<T extends object>(answer: T, ...fields: (keyof T & string)[]): void {
  const missing = fields.find((field) => answer[field] === undefined);
  if (missing === undefined) return;
  throw new Failure(`the control plane does not say "${missing}": it is of another version`);
}

/** "shop/price-1" */
export function nameOf(one: Named | { readonly namespace: string; readonly workload: string }): string {
  return `${one.namespace}/${"name" in one ? one.name : one.workload}`;
}

function once<T>(ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined;
  return () => (answer ??= ask());
}
