/**
 * The documents that mesh files name under `resources:`, followed as they change. They hold together or not at all: one
 * document could allow what another one forbids. So while anything is wrong with any of them, all stay as they were; and
 * before they have been right for the first time there is no policy, which leaves sidecars closed.
 */
import { dirname } from "node:path";
import { isDeepStrictEqual } from "node:util";

import { type Diagnostic, formatDiagnostic } from "../../dialects/diagnostic.ts";
import { readResources } from "../../dialects/read-resources.ts";
import type { ResourceSet } from "../../dialects/resource-index.ts";
import { resourceSet } from "../../dialects/resource-set.ts";
import type { PolicySettings } from "../../dialects/target.ts";
import type { Clock } from "../../net/clock.ts";
import type { Logger } from "../../telemetry/log.ts";
import { Follow } from "./follow.ts";
import type { SourceStatus } from "./source.ts";
import { stampOf } from "./stamp.ts";

/** Milliseconds in which nothing may happen before documents are read: several files often change together. */
export const QUIET_MS = 100;
/** Milliseconds after which they are read although something still happens. */
export const QUIET_TIMEOUT_MS = 2_000;

/** What one mesh file says of them. */
export interface ResourceGroup {
  /** Files and folders, absolute. */
  readonly paths: readonly string[];
  /** Of documents that say none. */
  readonly namespace: string;
}

/** What is to be followed. */
export interface ResourceRequest {
  readonly groups: readonly ResourceGroup[];
  readonly settings: PolicySettings;
}

/** What policies are made of. */
export interface PolicyBasis {
  readonly resources: ResourceSet;
  readonly settings: PolicySettings;
}

export interface ResourceSourceOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** What is in force has changed. */
  readonly onChange: () => void;
  /** The wall clock. */
  readonly now?: () => Date;
}

interface Read {
  readonly resources: ResourceSet;
  readonly diagnostics: readonly Diagnostic[];
  /** Also folders, with a "/" at the end. */
  readonly files: readonly string[];
}

export class ResourceSource {
  readonly #options: ResourceSourceOptions;
  readonly #follow: Follow;
  #request: ResourceRequest | undefined;
  /** The request that was read last. */
  #answered: ResourceRequest | undefined;
  #basis: PolicyBasis | undefined;
  #loadedAt: Date | undefined;
  #files: readonly string[] = [];
  #diagnostics: readonly Diagnostic[] = [];
  #stamp = "";
  #started = false;
  /** Ends a wait for quiet. */
  #wake = (): void => {};

  constructor(options: ResourceSourceOptions) {
    this.#options = options;
    const { clock } = options;
    this.#follow = new Follow({ clock, folders: () => this.#folders(), look: () => this.#look() });
  }

  /** The last good state; undefined if there was none yet. */
  get basis(): PolicyBasis | undefined {
    return this.#basis;
  }

  /** One for each file that was read or should have been. */
  get statuses(): SourceStatus[] {
    const loadedAt = this.#loadedAt?.toISOString() ?? null;
    const files = new Set(this.#files.filter((file) => !file.endsWith("/")));
    for (const { file } of this.#diagnostics) files.add(file);
    return [...files].map((name) => {
      const diagnostics = this.#diagnostics.filter(({ file }) => file === name);
      return { name, kind: "resources", state: diagnostics.some(isError) ? "bad" : "ok", loadedAt, diagnostics };
    });
  }

  /** From now on this is followed; what was in force before stays until all of it has been read and is good. */
  request(request: ResourceRequest): void {
    if (!isDeepStrictEqual(request, this.#request)) this.#request = request;
  }

  /** Reads what was requested and begins to follow it. Bad documents are no reason to reject. */
  async start(): Promise<void> {
    await this.refresh();
    await this.#follow.start();
    this.#started = true;
  }

  /** Reads what is requested now. */
  async refresh(): Promise<void> {
    // A look that is under way may be about an older request.
    await this.#follow.look();
    await this.#follow.look();
  }

  close(): Promise<void> {
    const closed = this.#follow.close();
    this.#wake();
    return closed;
  }

  #folders(): Set<string> {
    return new Set(this.#files.map((file) => (file.endsWith("/") ? file.slice(0, -1) : dirname(file))));
  }

  async #look(): Promise<void> {
    const request = this.#request;
    if (request === undefined) return;
    const again = request === this.#answered;
    let stamp = await this.#stampOfAll();
    if ((again && stamp === this.#stamp) || this.#follow.closed) return;
    // At the start there is nothing to protect; nor does anything else keep the process alive while this waits.
    if (this.#started) stamp = await this.#whenQuiet(stamp);
    const read = await readAll(request.groups);
    if (this.#follow.closed) return;
    const known = this.#files.join("\n") === read.files.join("\n");
    this.#files = read.files;
    // A write during reading leaves another stamp behind, so that all is read again; so does what was not stamped yet.
    this.#stamp = known ? stamp : "";
    this.#answered = request;
    this.#take(read, request);
    if (!known) await this.#look();
  }

  #take({ resources, diagnostics }: Read, { settings }: ResourceRequest): void {
    const { logger, now, onChange } = this.#options;
    const said = new Set(this.#diagnostics.map(formatDiagnostic));
    this.#diagnostics = diagnostics;
    for (const diagnostic of diagnostics) {
      const line = formatDiagnostic(diagnostic);
      if (said.has(line)) continue;
      if (isError(diagnostic)) logger.error(line);
      else logger.warn(line);
    }
    if (diagnostics.some(isError)) {
      if (this.#basis === undefined) logger.error("there is no policy until all documents are mended; nobody may call");
      else logger.error("documents are bad; the last good ones stay in force");
      return;
    }
    const before = this.#basis;
    this.#basis = { resources, settings };
    this.#loadedAt = now?.() ?? new Date();
    if (before !== undefined) logger.info("documents reloaded", { documents: resources.all.length });
    onChange();
  }

  async #stampOfAll(): Promise<string> {
    return (await Promise.all(this.#files.map(stampOf))).join("\n");
  }

  /** @returns the stamp that stayed the same for a while, or the last one if none did */
  async #whenQuiet(stamp: string): Promise<string> {
    const { clock } = this.#options;
    const deadline = clock.now() + QUIET_TIMEOUT_MS;
    let last = stamp;
    while (clock.now() < deadline && !this.#follow.closed) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = clock.after(QUIET_MS, resolve);
      this.#wake = resolve;
      await promise;
      timer.cancel();
      const next = await this.#stampOfAll();
      if (next === last) break;
      last = next;
    }
    return last;
  }
}

async function readAll(groups: readonly ResourceGroup[]): Promise<Read> {
  const parts = [];
  for (const { paths, namespace } of groups) parts.push(await readResources(paths, namespace));
  const files = parts.flatMap((part) => part.files);
  const diagnostics = parts.flatMap((part) => part.diagnostics);
  const [only, ...others] = parts;
  if (only !== undefined && others.length === 0) return only;
  const together = resourceSet(parts.flatMap(({ resources }) => resources.all));
  return { resources: together.resources, diagnostics: [...diagnostics, ...together.diagnostics], files };
}

function isError({ severity }: Diagnostic): boolean {
  return severity === "error";
}
