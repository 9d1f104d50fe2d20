import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { SampleReader } from "./sample.ts";
import { LABEL_LENGTH_MAX, SERIES_PER_SIDECAR_MAX } from "./series-reader.ts";

function read(text: string) {
  const reader = new SampleReader();
  reader.push(text);
  return [...reader.finish().series.values()];
}

function line(authority: string): string {
  return `request_total{direction="outbound",authority="${authority}"} 1\n`;
}

describe("SeriesReader", () => {
  it("keeps who was called and how, added up over what nobody asks about", () => {
    const dst = 'authority="price.shop:80",dst_workload="price-1"';
    const series = read(`
request_total{direction="outbound",${dst},target_addr="127.0.0.1:1",tls="true",server_id="s"} 3
request_total{direction="outbound",${dst},target_addr="127.0.0.1:2",tls="true",server_id="s"} 4
request_total{direction="outbound",${dst},target_addr="127.0.0.1:2",tls="disabled",no_tls_reason="disabled"} 5
request_total{direction="inbound",tls="true",client_id="c"} 100
tcp_open_total{direction="outbound",peer="src",tls="disabled"} 100
tcp_open_total{direction="outbound",peer="dst",${dst},tls="true",server_id="s"} 1
tcp_open_connections{direction="outbound",peer="dst",${dst},tls="true",server_id="s"} 1
response_total{direction="outbound",${dst}} 7
`);
    assert.deepEqual(
      series.map(({ family, labels, value }) => [family, labels["tls"], labels["no_tls_reason"], value]),
      [
        ["request_total", "true", "", 7],
        ["request_total", "disabled", "disabled", 5],
        ["tcp_open_total", "true", "", 1],
        ["tcp_open_connections", "true", "", 1],
      ],
    );
    assert.equal(series[0]?.labels["authority"], "price.shop:80");
    assert.equal(series[0]?.labels["server_id"], "s");
  });

  it("keeps what was allowed and refused, and by what", () => {
    const [allowed, denied] = read(`
inbound_http_authz_allow_total{direction="inbound",srv_port="80",authz_kind="authorizationpolicy",authz_name="a",client_id="c"} 3
inbound_tcp_authz_deny_total{direction="inbound",srv_port="80",authz_kind="default",authz_name="deny"} 1
`);
    assert.deepEqual([allowed?.labels["authz_name"], allowed?.labels["client_id"], allowed?.value], ["a", "c", 3]);
    assert.deepEqual([denied?.family, denied?.labels["authz_name"]], ["inbound_tcp_authz_deny_total", "deny"]);
  });

  it("takes so many series of one sidecar, and no label without end", () => {
    const many = Array.from({ length: SERIES_PER_SIDECAR_MAX + 10 }, (_, i) => line(`s${i}.default:80`)).join("");
    assert.equal(read(many).length, SERIES_PER_SIDECAR_MAX);
    assert.deepEqual(read(line("x".repeat(LABEL_LENGTH_MAX + 1))), []);
  });
});
