/** Callers that share the one HTTP/2 connection between two sidecars, some of which stop reading. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";

import { metricSum, startMesh, type TestMesh } from "./support/mesh.ts";
import { until } from "./support/until.ts";

const MIB = 1024 * 1024;
const STUCK = 8;
const OTHERS = 100;

describe("stuck readers", () => {
  let mesh: TestMesh;
  let server: http.Server;

  before(async () => {
    const most = Buffer.alloc(64 * MIB, "x");
    server = http.createServer((request, response) => response.end(most.subarray(0, Number(request.url?.slice(1)))));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    mesh = await startMesh([{ service: "price", workload: "price-1", protocol: "http", applicationPort: port }]);
  });
  after(async () => {
    await mesh.close();
    server.close();
    server.closeAllConnections();
  });

  const get = async (octets: number, agent: http.Agent | false): Promise<http.IncomingMessage> => {
    const request = http.get(`${mesh.outbound}/${octets}`, { headers: { Host: "price" }, agent });
    return ((await once(request, "response")) as [http.IncomingMessage])[0];
  };

  /** Connections between the two sidecars. */
  const between = async (): Promise<number> =>
    metricSum(await mesh.metrics("caller"), "tcp_open_connections", 'peer="dst"', 'direction="outbound"');

  /** The application's sidecar reads no more of what the stuck ones have asked for. */
  const standsStill = async (): Promise<void> => {
    let last = -1;
    await until("the sidecars hold the application back", async () => {
      const now = metricSum(await mesh.metrics("price-1"), "tcp_read_bytes_total", 'peer="dst"');
      const still = now === last && now > 0;
      last = now;
      await new Promise((resolve) => setTimeout(resolve, 100));
      return still;
    });
    assert.ok(last < STUCK * 32 * MIB, "far from all was read");
  };

  it("of HTTP/1 do not hold up others behind the same sidecars", async (context) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
    context.after(() => agent.destroy());
    const stuck = await Promise.all(Array.from({ length: STUCK }, () => get(64 * MIB, false)));
    for (const response of stuck) response.pause();
    await standsStill();
    const sizes = await Promise.all(
      Array.from({ length: OTHERS }, async () => {
        let received = 0;
        for await (const chunk of await get(MIB, agent)) received += (chunk as Buffer).length;
        return received;
      }),
    );
    assert.deepEqual([...new Set(sizes)], [MIB]);
    assert.equal(await between(), 1, "all went over one connection");
    for (const response of stuck) response.destroy();
  });

  it("of HTTP/2 do not hold up others of their own connection", async (context) => {
    const session = http2.connect(mesh.outbound);
    context.after(() => session.destroy());
    const ask = (octets: number): http2.ClientHttp2Stream =>
      session.request({ ":path": `/${octets}`, ":authority": "price" });
    const stuck = Array.from({ length: STUCK }, () => ask(64 * MIB));
    for (const stream of stuck) {
      stream.on("error", () => {});
      await once(stream, "response");
      stream.pause();
    }
    await standsStill();
    const sizes = await Promise.all(
      Array.from({ length: OTHERS }, async () => {
        let received = 0;
        for await (const chunk of ask(MIB)) received += (chunk as Buffer).length;
        return received;
      }),
    );
    assert.deepEqual([...new Set(sizes)], [MIB]);
    for (const stream of stuck) stream.destroy();
  });
});
