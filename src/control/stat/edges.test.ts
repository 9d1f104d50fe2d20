import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { type EdgeQuery, edgeRows } from "./edges.ts";
import type { SeriesName } from "./series-reader.ts";
import { SeriesTable } from "./series-table.ts";

const gateway = { workload: "gateway-1", namespace: "default", service: "gateway" };
const keyboard = { workload: "keyboard", namespace: "default", service: "" };
const query: EdgeQuery = { windowMs: 60_000, by: "service", namespace: undefined };

function add(
  table: SeriesTable,
  source: typeof gateway,
  labels: Record<string, string>,
  value = 1,
  family: SeriesName = "request_total",
): void {
  table.add(source, new Map([[family + JSON.stringify(labels), { family, labels, value }]]), 0, 0);
}

const shown = (table: SeriesTable, more: Partial<EdgeQuery> = {}): string[] =>
  edgeRows(table, { ...query, ...more }, 0, ({ workload }) => `id of ${workload}`).map((edge) =>
    [
      `${edge.src_namespace}/${edge.src} ${edge.dst_namespace}/${edge.dst}`,
      `${edge.client_id} ${edge.server_id} ${edge.no_tls_reason}`,
    ].join(": "),
  );

describe("edgeRows", () => {
  const table = new SeriesTable();
  const secured = { authority: "price.shop:80", tls: "true", server_id: "price" };
  add(table, gateway, { ...secured, dst_workload: "price-1" });
  add(table, gateway, { ...secured, dst_workload: "price-2" });
  add(table, gateway, { authority: "legacy.default:80", dst_workload: "vm", tls: "no_identity", no_tls_reason: "why" });
  add(table, keyboard, { authority: "db.default:6379", dst_workload: "db-1", tls: "disabled" }, 1, "tcp_open_total");
  add(table, keyboard, { authority: "quiet.default:80", dst_workload: "q", tls: "disabled" }, 0);
  add(table, keyboard, { authority: "held.default:80", dst_workload: "h", tls: "true" }, 2, "tcp_open_connections");
  add(table, keyboard, { authority: "", tls: "disabled" });

  it("has one row per pair of services and way of securing it, where something went or is open", () => {
    assert.deepEqual(shown(table), [
      "default/gateway default/legacy:   why",
      "default/gateway shop/price: id of gateway-1 price ",
      "default/keyboard default/db:   disabled",
      "default/keyboard default/held: id of keyboard  ",
    ]);
  });

  it("has one row per pair of workloads if asked", () => {
    assert.deepEqual(
      shown(table, { by: "workload", namespace: "shop" }).map((line) => line.split(":")[0]),
      ["default/gateway-1 shop/price-1", "default/gateway-1 shop/price-2"],
    );
  });

  it("has both rows where only a part is secured", () => {
    const half = new SeriesTable();
    add(half, gateway, secured);
    add(half, gateway, { authority: "price.shop:80", tls: "no_identity", no_tls_reason: "not_provided" });
    assert.equal(shown(half).length, 2);
  });
});
