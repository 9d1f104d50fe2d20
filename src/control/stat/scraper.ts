/** Reads `/metrics` of every known sidecar once a second. */
import { Agent, get, type IncomingMessage } from "node:http";

import type { Clock, Timer } from "../../net/clock.ts";
import { parseSocketAddress } from "../sources/registration.ts";
import { type Sample, SampleReader } from "./sample.ts";
import type { Subject } from "./stat-table.ts";

/** Milliseconds between two rounds. */
export const SCRAPE_INTERVAL_MS = 1_000;
/** Milliseconds that one answer may take, all of it. */
export const SCRAPE_TIMEOUT_MS = 1_000;
/** Sidecars asked at the same time. */
export const SCRAPE_CONCURRENCY = 64;
/** Bytes of one answer. */
export const SCRAPE_BYTES_MAX = 8 * 1024 * 1024;

export interface ScrapeTarget extends Subject {
  /** Its sidecar's admin listener, "ip:port". */
  readonly admin: string;
}

export type ScrapeFailure = "timeout" | "unreachable" | "status" | "too_large" | "bad_address";

export interface ScraperOptions {
  readonly clock: Clock;
  /** Asked once per round. */
  readonly targets: () => readonly ScrapeTarget[];
  readonly onSample: (target: ScrapeTarget, sample: Sample) => void;
  readonly onFailure: (target: ScrapeTarget, reason: ScrapeFailure) => void;
}

export class Scraper {
  readonly #options: ScraperOptions;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: SCRAPE_CONCURRENCY * 2, maxFreeSockets: 4_096 });
  readonly #abort = new AbortController();
  #timer: Timer | undefined;
  #round: Promise<void> | undefined;

  constructor(options: ScraperOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = this.#options.clock.after(SCRAPE_INTERVAL_MS, () => {
      this.start();
      // A round that takes longer than the interval is not overtaken by the next one.
      this.#round ??= this.#scrapeAll().finally(() => (this.#round = undefined));
    });
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    this.#abort.abort();
    await this.#round;
    this.#agent.destroy();
  }

  async #scrapeAll(): Promise<void> {
    const targets = this.#options.targets();
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < targets.length && !this.#abort.signal.aborted) {
        const target = targets[next++] as ScrapeTarget;
        const result = await this.#scrape(target.admin);
        if (this.#abort.signal.aborted) return;
        if (typeof result === "string") this.#options.onFailure(target, result);
        else this.#options.onSample(target, result);
      }
    };
    await Promise.all(Array.from({ length: Math.min(SCRAPE_CONCURRENCY, targets.length) }, worker));
  }

  #scrape(admin: string): Promise<Sample | ScrapeFailure> {
    const address = parseSocketAddress(admin);
    if (address === undefined) return Promise.resolve("bad_address");
    const { promise, resolve } = Promise.withResolvers<Sample | ScrapeFailure>();
    const request = get({ ...address, path: "/metrics", agent: this.#agent, signal: this.#abort.signal }, (response) =>
      receive(response, finish),
    );
    const timer = this.#options.clock.after(SCRAPE_TIMEOUT_MS, () => finish("timeout"));
    function finish(result: Sample | ScrapeFailure): void {
      timer.cancel();
      resolve(result);
      if (typeof result === "string") request.destroy();
    }
    request.on("error", () => finish("unreachable"));
    return promise;
  }
}

function receive(response: IncomingMessage, finish: (result: Sample | ScrapeFailure) => void): void {
  if (response.statusCode !== 200) {
    finish("status");
    return;
  }
  const reader = new SampleReader();
  let bytes = 0;
  response.setEncoding("utf8");
  response.on("data", (chunk: string) => {
    bytes += Buffer.byteLength(chunk);
    if (bytes > SCRAPE_BYTES_MAX) finish("too_large");
    else reader.push(chunk);
  });
  response.on("end", () => finish(reader.finish()));
  response.on("error", () => finish("unreachable"));
}
