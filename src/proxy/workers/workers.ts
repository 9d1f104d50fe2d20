/**
 * The traffic of a sidecar on several cores. Every worker is a thread with listeners, connections and balancers of its
 * own, at the same addresses; the kernel gives each connection to one of them by a hash of its addresses (SO_REUSEPORT).
 * The main thread carries no traffic: it has the admin listener and the xDS stream, and asks the workers.
 *
 * Threads rather than processes, because a sidecar is then still one thing to whoever runs it: one pid, one set of
 * `process_*` metrics, signals that arrive at one place, and no orphans. Neither shares anything on the data path, so
 * processes would be no faster; and a thread costs 18 MB (private dirty, idle) where a process costs 37.
 *
 * An exception that nobody catches in a worker ends the whole process, as it does when there is only one: who supervises
 * it starts it again, while a sidecar that has lost one of its threads would look healthy.
 */
import { getCompileCacheDir } from "node:module";
import { dirname, extname } from "node:path";
import { Worker } from "node:worker_threads";

import type { Clock } from "../../net/clock.ts";
import { mergeSnapshots } from "../../telemetry/exposition.ts";
import type { LogLevel } from "../../telemetry/log.ts";
import type { FamilySnapshot, StaleSeries } from "../../telemetry/snapshot.ts";
import type { Carrier, TrafficAddresses } from "../carrier.ts";
import type { ProxyConfig } from "../config.ts";
import { ListenError } from "../listener.ts";
import { WorkerMetrics } from "../metrics.ts";
import { needsPolicy } from "../policy-source.ts";
import type { TrafficOptions } from "../traffic.ts";
import { reserveAddresses } from "./addresses.ts";
import { CredentialsRelay } from "./credentials-relay.ts";
import type { FromWorker, Task, ToWorker, WorkerStart } from "./messages.ts";
import { DiscoveryRelay } from "./relay.ts";

/** Milliseconds that a worker may take to answer. Prometheus waits for 10,000. */
export const ANSWER_TIMEOUT_MS = 5_000;

/** Questions that a worker may owe an answer to; one that is stuck is asked no more. */
export const QUESTIONS_MAX = 64;

export class Workers implements Carrier {
  readonly addresses: TrafficAddresses;
  readonly #clock: Clock;
  readonly #threads: readonly Thread[];
  readonly #metrics = new WorkerMetrics();

  private constructor(options: TrafficOptions) {
    const { config, clock } = options;
    this.#clock = clock;
    this.addresses = {
      outbound: config.outbound,
      upstreams: config.upstreams.map(({ listen }) => listen),
      inbound: config.inbound.map(({ listen }) => listen),
      captured: config.capture,
    };
    this.#threads = Array.from({ length: config.workers }, (_, index) => new Thread(index + 1, options));
  }

  /**
   * Resolves when all listeners of all workers accept.
   *
   * @throws ListenError if one of them cannot be opened; nothing stays open then
   */
  static async open(options: TrafficOptions): Promise<Workers> {
    const reserved = reserveAddresses(options.config);
    const workers = new Workers({ ...options, config: reserved.config });
    try {
      await Promise.all(workers.#threads.map((thread) => thread.opened));
    } catch (error) {
      workers.close();
      throw error;
    } finally {
      reserved.release();
    }
    return workers;
  }

  /** A sum without one of its parts would look like a restart, so it is all or nothing. */
  async snapshot(): Promise<FamilySnapshot[]> {
    const parts: (readonly FamilySnapshot[])[] = [];
    for (const [index, answer] of (await this.#ask("report")).entries()) {
      if (answer?.report === undefined) {
        throw new Error(`worker ${index + 1} has not answered within ${ANSWER_TIMEOUT_MS} ms`);
      }
      const { families, connections, cpuSeconds } = answer.report;
      this.#metrics.set(String(index + 1), connections, cpuSeconds);
      parts.push(families);
    }
    return mergeSnapshots([...parts, this.#metrics.registry.snapshot()]);
  }

  drop(stale: readonly StaleSeries[]): void {
    if (stale.length === 0) return;
    for (const thread of this.#threads) thread.post({ kind: "drop", stale });
  }

  async connections(): Promise<number> {
    const answers = await this.#ask("report");
    return answers.reduce((sum, answer) => sum + (answer?.report?.connections ?? 0), 0);
  }

  get informed(): boolean {
    return this.#threads.every((thread) => thread.informed);
  }

  /** One stuck thread is as bad as a stuck process: a share of the connections gets no answers. */
  async isLive(): Promise<boolean> {
    return (await this.#ask("ping")).every((answer) => answer !== undefined);
  }

  setLogLevel(level: LogLevel): void {
    for (const thread of this.#threads) thread.post({ kind: "logLevel", level });
  }

  async drainInbound(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.perform("drainInbound")));
  }

  async drainOutbound(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.perform("drainOutbound")));
  }

  close(): void {
    for (const thread of this.#threads) thread.close();
  }

  /** The answers in the order of the workers; undefined from one that is too slow. */
  async #ask(question: "ping" | "report"): Promise<(Answer | undefined)[]> {
    const late = Promise.withResolvers<undefined>();
    const timer = this.#clock.after(ANSWER_TIMEOUT_MS, () => late.resolve(undefined));
    const answers = await Promise.all(this.#threads.map((thread) => thread.ask(question, late.promise)));
    timer.cancel();
    return answers;
  }
}

type Answer = Extract<FromWorker, { readonly kind: "done" }>;

/** One worker as the main thread sees it. */
class Thread {
  /** Its listeners accept. Fails with a ListenError if they cannot. */
  readonly opened: Promise<void>;
  readonly #number: number;
  readonly #worker: Worker;
  readonly #needsPolicy: boolean;
  readonly #relay: DiscoveryRelay;
  readonly #credentials: CredentialsRelay | undefined;
  /** By id. */
  readonly #tasks = new Map<number, (answer: Answer) => void>();
  readonly #opening = Promise.withResolvers<void>();
  #lastTask = 0;
  #failure: unknown;
  #closed = false;

  constructor(number: number, { config, discovery, identity }: TrafficOptions) {
    this.#number = number;
    this.#needsPolicy = needsPolicy(config);
    this.opened = this.#opening.promise;
    const start: WorkerStart = { config: withoutSecrets(config), ticketSecret: identity?.ticketSecret };
    // This file is .ts as it is written, and .js in the published package.
    const entry = new URL(`./thread${extname(import.meta.url)}`, import.meta.url);
    this.#worker = new Worker(entry, { workerData: start, name: `worker-${number}`, env: environment() });
    this.#relay = new DiscoveryRelay(discovery, (message) => this.post(message));
    this.#credentials = identity && new CredentialsRelay(identity.credentials, (message) => this.post(message));
    this.#worker.on("message", (message: FromWorker) => this.#received(message));
    // Thrown only at its exit, which always follows: what is thrown from here may get lost.
    this.#worker.on("error", (error) => (this.#failure = error));
    this.#worker.on("exit", () => this.#ended());
  }

  get informed(): boolean {
    return (!this.#needsPolicy || this.#relay.policyHeard) && (this.#credentials?.held ?? true);
  }

  post(message: ToWorker): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#worker.postMessage(message);
  }

  perform(task: Task): Promise<Answer> {
    const { promise, resolve } = Promise.withResolvers<Answer>();
    const id = ++this.#lastTask;
    this.#tasks.set(id, resolve);
    this.post({ kind: "task", id, task });
    return promise;
  }

  /** @returns undefined if `late` comes first, or if that has happened too often already */
  async ask(question: "ping" | "report", late: Promise<undefined>): Promise<Answer | undefined> {
    return this.#tasks.size >= QUESTIONS_MAX ? undefined : Promise.race([this.perform(question), late]);
  }

  close(): void {
    this.#closed = true;
    this.#relay.close();
    this.#credentials?.close();
    void this.#worker.terminate();
  }

  #received(message: FromWorker): void {
    switch (message.kind) {
      case "open":
        this.#opening.resolve();
        break;
      case "refused":
        this.#opening.reject(new ListenError(message.message, message.code));
        break;
      case "done":
        this.#tasks.get(message.id)?.(message);
        this.#tasks.delete(message.id);
        break;
      case "holding":
        this.#credentials?.heard();
        break;
      case "watch":
      case "watchPolicy":
      case "heard":
      case "unwatch":
        this.#relay.asked(message);
    }
  }

  #ended(): void {
    if (this.#closed) return;
    const name = `worker ${this.#number}`;
    if (this.#failure === undefined) throw new Error(`${name} has ended by itself`);
    throw new Error(`${name} has failed`, { cause: this.#failure });
  }
}

function withoutSecrets(config: ProxyConfig): ProxyConfig {
  const { identity } = config;
  return identity === undefined ? config : { ...config, identity: { ...identity, joinToken: "" } };
}

/** A thread does not inherit the cache of compiled code, without which it would hold the TypeScript stripper, 20 MB. */
function environment(): NodeJS.ProcessEnv {
  const folder = getCompileCacheDir();
  return folder === undefined ? process.env : { ...process.env, NODE_COMPILE_CACHE: dirname(folder) };
}
