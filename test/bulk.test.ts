import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, describe, it } from "node:test";

import { metricSum } from "./support/mesh.ts";
import { peakResidentBytes } from "./support/resident.ts";
import { until } from "./support/until.ts";
import { root, up, type Up } from "./support/up.ts";

const GIB = 1024 ** 3;

/** Bound of the issue for each sidecar while a body of 1 GiB passes. */
const RESIDENT_BYTES_MAX = 150 * 1024 * 1024;

describe("large bodies through two sidecars", () => {
  let mesh: Up;
  let sidecars: number[];

  before(async () => {
    mesh = await up(join(root, "test/fixtures/bulk/mesh.yaml"));
    sidecars = mesh.descendants().filter((pid) => / proxy .*--workload/.test(mesh.commandLine(pid)));
    assert.equal(sidecars.length, 2, "the keyboard's and the application's");
  });
  after(() => mesh.stop());

  const assertSmall = (): void => {
    for (const pid of sidecars) {
      const peak = peakResidentBytes(pid);
      assert.ok(peak < RESIDENT_BYTES_MAX, `${(peak / 1024 / 1024).toFixed(0)} MB in ${mesh.commandLine(pid)}`);
    }
  };

  it("1 GiB comes down", async () => {
    const request = http.get(`${mesh.outbound}/${GIB}`, { headers: { Host: "bulk" } });
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    let received = 0;
    for await (const chunk of response) received += (chunk as Buffer).length;
    assert.equal(received, GIB);
    assertSmall();
  });

  it("1 GiB goes up", async () => {
    const chunk = Buffer.alloc(64 * 1024, "u");
    const request = http.request(mesh.outbound, { method: "POST", headers: { Host: "bulk" } });
    const chunks = (function* () {
      for (let sent = 0; sent < GIB; sent += chunk.length) yield chunk;
    })();
    Readable.from(chunks).pipe(request);
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    let text = "";
    for await (const part of response) text += String(part);
    assert.equal(text, String(GIB));
    assertSmall();
  });

  it("a reader that stops reading holds the sender back, and harms nobody", async () => {
    const request = http.get(`${mesh.outbound}/${GIB}`, { headers: { Host: "bulk" }, agent: false });
    const [stuck] = (await once(request, "response")) as [http.IncomingMessage];
    stuck.pause();
    const written = async (): Promise<number> =>
      metricSum(await mesh.metrics("bulk-1"), "tcp_read_bytes_total", 'direction="inbound"', 'peer="dst"');
    const already = await written();
    let last = -1;
    await until("the sender stands still", async () => {
      const now = await written();
      const still = now === last;
      last = now;
      await new Promise((resolve) => setTimeout(resolve, 100));
      return still;
    });
    assert.ok(last - already < 64 * 1024 * 1024, `${last - already} bytes were taken from the application`);
    const other = http.get(`${mesh.outbound}/1000`, { headers: { Host: "bulk" }, agent: false });
    const [response] = (await once(other, "response")) as [http.IncomingMessage];
    let received = 0;
    for await (const chunk of response) received += (chunk as Buffer).length;
    assert.equal(received, 1000);
    request.destroy();
    assertSmall();
  });
});
