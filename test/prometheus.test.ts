import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { type Application, call, startApplication } from "./support/application.ts";
import { startMesh, type TestMesh } from "./support/mesh.ts";
import { needs } from "./support/peers.ts";
import { freePorts } from "./support/ports.ts";
import { until } from "./support/until.ts";

describe("a real Prometheus on a running mesh", needs("prometheus", "promtool"), () => {
  let mesh: TestMesh;
  let application: Application;
  let prometheus: ChildProcess;
  let folder: string;
  let base = "";

  before(async () => {
    application = await startApplication("price");
    mesh = await startMesh([
      { service: "price", workload: "price-1", protocol: "http", applicationPort: application.port },
    ]);
    folder = await mkdtemp(join(tmpdir(), "heddle-prometheus-"));
    const target = (name: string): string => `127.0.0.1:${mesh.sidecars.get(name)?.addresses.admin.port}`;
    await writeFile(
      join(folder, "prometheus.yml"),
      `global: { scrape_interval: 500ms }
scrape_configs:
  - job_name: linkerd-proxy
    static_configs:
      - { targets: ["${target("price-1")}"], labels: { workload: price-1 } }
      - { targets: ["${target("caller")}"], labels: { workload: caller } }
`,
    );
    const [port] = await freePorts(1);
    prometheus = spawn(
      "prometheus",
      [
        `--config.file=${join(folder, "prometheus.yml")}`,
        `--storage.tsdb.path=${join(folder, "data")}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdio: "ignore" },
    );
    base = `http://127.0.0.1:${port}`;
    await until(
      "Prometheus is ready",
      async () => (await fetch(`${base}/-/ready`).catch(() => undefined))?.ok === true,
      20_000,
    );
  });
  after(async () => {
    prometheus.kill();
    await once(prometheus, "exit");
    await mesh.close();
    application.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function query(text: string): Promise<{ metric: Record<string, string>; value: [number, string] }[]> {
    const response = await fetch(`${base}/api/v1/query?query=${encodeURIComponent(text)}`);
    const answer = (await response.json()) as { status: string; data: { result: [] }; error?: string };
    assert.equal(answer.status, "success", `${text}: ${answer.error}`);
    return answer.data.result;
  }

  it("promtool finds nothing wrong with the metrics of either sidecar", async () => {
    await call(mesh.outbound, "price");
    await call(mesh.outbound, "nobody");
    for (const workload of mesh.sidecars.keys()) {
      const promtool = spawn("promtool", ["check", "metrics"]);
      let complaints = "";
      promtool.stderr.on("data", (chunk) => (complaints += String(chunk)));
      promtool.stdout.on("data", (chunk) => (complaints += String(chunk)));
      promtool.stdin.end(await mesh.metrics(workload));
      const [code] = (await once(promtool, "close")) as [number];
      // Linkerd's own names keep their units as they are (milliseconds, and counters of the legacy families).
      const serious = complaints
        .split("\n")
        .filter((line) => line !== "" && !/response_latency_ms.*(base unit|abbreviated)/.test(line));
      assert.deepEqual(serious, []);
      assert.ok(code === 0 || complaints !== "", `promtool ended with ${code}`);
    }
  });

  it("answers the queries that Linkerd's dashboards ask", async () => {
    const load = setInterval(() => void call(mesh.outbound, "price").catch(() => {}), 20);
    try {
      const success = 'sum(increase(response_total{direction="inbound"}[10s])) by (workload, classification, tls)';
      await until("there is a success rate", async () => Number((await query(success))[0]?.value[1]) > 10, 20_000);
      const [row] = await query(success);
      assert.deepEqual(row?.metric, { workload: "price-1", classification: "success", tls: "disabled" });
      for (const quantile of [0.5, 0.95, 0.99]) {
        const latency = `histogram_quantile(${quantile}, sum(irate(response_latency_ms_bucket{direction="outbound"}[10s])) by (le, dst_service))`;
        await until(`${latency} has an answer`, async () => {
          const [found] = await query(latency);
          return found?.metric.dst_service === "price" && Number(found.value[1]) > 0;
        });
      }
      assert.ok(Number((await query('sum(tcp_open_connections{peer="src"})'))[0]?.value[1]) > 0);
      assert.ok(Number((await query("sum(increase(tcp_read_bytes_total[10s]))"))[0]?.value[1]) > 0);
      assert.ok(Number((await query("sum(increase(tcp_write_bytes_total[10s]))"))[0]?.value[1]) > 0);
      assert.equal((await query("max(process_start_time_seconds) by (workload)")).length, 2);
      assert.equal((await query("up == 1")).length, 2);
    } finally {
      clearInterval(load);
    }
  });
});
