import assert from "node:assert/strict";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, it } from "node:test";

import { until } from "../../../test/support/until.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";
import type { Sample } from "./sample.ts";
import {
  SCRAPE_BYTES_MAX,
  SCRAPE_CONCURRENCY,
  SCRAPE_INTERVAL_MS,
  SCRAPE_TIMEOUT_MS,
  Scraper,
  type ScrapeFailure,
  type ScrapeTarget,
} from "./scraper.ts";

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function serve(listener: RequestListener): Promise<{ admin: string; server: Server }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { admin: `127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

function scraper(targets: () => ScrapeTarget[]) {
  const clock = new VirtualClock();
  const samples: Sample[] = [];
  const failures: ScrapeFailure[] = [];
  const instance = new Scraper({
    clock,
    targets,
    onSample: (_, sample) => samples.push(sample),
    onFailure: (_, reason) => failures.push(reason),
  });
  instance.start();
  cleanups.push(() => instance.close());
  return { instance, clock, samples, failures };
}

function target(admin: string): ScrapeTarget {
  return { workload: "w", namespace: "default", service: "s", admin };
}

const GOOD = 'response_total{direction="inbound",classification="success"} 5\n';

describe("Scraper", () => {
  it("reads each sidecar once a round, over one connection", async () => {
    let requests = 0;
    let connections = 0;
    const { admin, server } = await serve((request, response) => {
      requests++;
      assert.equal(request.url, "/metrics");
      response.end(GOOD);
    });
    server.on("connection", () => connections++);
    const { clock, samples } = scraper(() => [target(admin)]);
    assert.equal(requests, 0);
    for (let round = 1; round <= 3; round++) {
      clock.advance(SCRAPE_INTERVAL_MS);
      await until("a sample", () => samples.length === round);
    }
    assert.equal(requests, 3);
    assert.equal(connections, 1);
    assert.equal(samples[0]?.counters.success, 5);
  });

  it("says why it got nothing, and gets the others all the same", async () => {
    const good = await serve((_, response) => response.end(GOOD));
    const error = await serve((_, response) => response.writeHead(503).end(GOOD));
    const endless = await serve((_, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(`#${"x".repeat(65_536)}\n`));
        response.once("drain", more);
      };
      more();
    });
    const torn = await serve((request, response) => {
      response.writeHead(200, { "content-length": 1_000 });
      response.write(GOOD, () => request.socket.destroy());
    });
    const gone = await serve(() => {});
    await new Promise((resolve) => gone.server.close(resolve));
    const { clock, samples, failures } = scraper(() =>
      [error.admin, endless.admin, torn.admin, gone.admin, "nonsense", good.admin].map(target),
    );
    clock.advance(SCRAPE_INTERVAL_MS);
    await until("all answers", () => samples.length + failures.length === 6, 10_000);
    assert.equal(samples.length, 1);
    assert.deepEqual(failures.sort(), ["bad_address", "status", "too_large", "unreachable", "unreachable"]);
    assert.ok(SCRAPE_BYTES_MAX > 0);
  });

  it("gives up on one that does not answer in time, and the next round comes after it", async () => {
    let asked = 0;
    const { admin } = await serve((_, response) => {
      asked++;
      response.write(GOOD);
    });
    const { clock, failures } = scraper(() => [target(admin)]);
    clock.advance(SCRAPE_INTERVAL_MS);
    await until("the first request", () => asked === 1);
    clock.advance(SCRAPE_TIMEOUT_MS - 1);
    assert.deepEqual(failures, []);
    clock.advance(1);
    await until("a failure", () => failures.length === 1);
    assert.deepEqual(failures, ["timeout"]);
    await until("another round", () => {
      clock.advance(SCRAPE_INTERVAL_MS);
      return asked >= 2;
    });
  });

  it("asks only so many at the same time", async () => {
    let open = 0;
    let most = 0;
    const { admin } = await serve((_, response) => {
      most = Math.max(most, ++open);
      setImmediate(() => {
        open--;
        response.end(GOOD);
      });
    });
    const { clock, samples } = scraper(() => Array.from({ length: SCRAPE_CONCURRENCY * 3 }, () => target(admin)));
    clock.advance(SCRAPE_INTERVAL_MS);
    await until("all samples", () => samples.length === SCRAPE_CONCURRENCY * 3);
    assert.ok(most <= SCRAPE_CONCURRENCY, String(most));
  });

  it("closes in the middle of a round and reports nothing more", async () => {
    let asked = 0;
    const { admin } = await serve(() => asked++);
    const { instance, clock, samples, failures } = scraper(() => [target(admin)]);
    clock.advance(SCRAPE_INTERVAL_MS);
    await until("the request", () => asked === 1);
    await instance.close();
    assert.deepEqual([samples, failures], [[], []]);
    assert.equal(clock.pending, 0);
  });
});
