/** One sidecar before one application, over real sockets, whose policy the test sets instead of a control plane. */
import http from "node:http";
import type { TestContext } from "node:test";

import { type Condition, type InboundPolicy, openPolicy, type PolicyRule } from "../../src/model/inbound-policy.ts";
import type { PortProtocol } from "../../src/model/service.ts";
import { type Clock, systemClock } from "../../src/net/clock.ts";
import { Traffic } from "../../src/proxy/traffic.ts";
import { exposition } from "../../src/telemetry/exposition.ts";
import { Logger } from "../../src/telemetry/log.ts";
import { ANY_PORT, sidecar } from "./mesh.ts";

export interface Policed {
  /** Of the sidecar's inbound listener. */
  readonly port: number;
  /** All that was logged. */
  readonly log: readonly string[];
  set(policy: InboundPolicy): void;
  metrics(): Promise<string>;
  get(path: string, options?: http.RequestOptions): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

export interface PolicedOptions {
  readonly applicationPort: number;
  readonly protocol?: PortProtocol;
  readonly policy?: InboundPolicy;
  readonly clock?: Clock;
}

/** Closed when the test is over. */
export async function policedSidecar(context: TestContext, options: PolicedOptions): Promise<Policed> {
  const { applicationPort, protocol = "http", policy = openPolicy, clock = systemClock } = options;
  const log: string[] = [];
  let tell: ((policy: InboundPolicy) => void) | undefined;
  const target = { host: "127.0.0.1", port: applicationPort };
  const traffic = await Traffic.open({
    config: sidecar("price-1", {
      service: "price",
      control: ANY_PORT,
      inbound: [{ listen: ANY_PORT, target, service: "price", port: 80, protocol }],
    }),
    clock,
    logger: new Logger({ level: "info", format: "json", sink: { write: (line) => log.push(line) } }),
    discovery: {
      watch: () => () => {},
      watchPolicy: (listener) => {
        tell = listener;
        listener(policy);
        return () => {};
      },
    },
  });
  context.after(() => traffic.close());
  const port = traffic.addresses.inbound[0]?.port ?? 0;
  return {
    port,
    log,
    set: (next) => tell?.(next),
    metrics: async () => exposition(await traffic.snapshot()),
    get: (path, over = {}) =>
      new Promise((resolve, reject) => {
        const request = http.request({ host: "127.0.0.1", port, path, agent: false, ...over }, (response) => {
          let body = "";
          response.setEncoding("utf8");
          response.on("data", (chunk: string) => (body += chunk));
          response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
          response.on("error", reject);
        });
        request.on("error", reject);
        request.end();
      }),
  };
}

/** A rule with one clause, from "policies.yaml", line 3. */
export function rule(action: PolicyRule["action"], name: string, ...conditions: Condition[]): PolicyRule {
  const origin = {
    kind: "security.istio.io/v1/AuthorizationPolicy",
    namespace: "shop",
    name,
    file: "policies.yaml",
    line: 3,
  };
  return { action, origin, clauses: [conditions] };
}

/** A policy of one layer. */
export function policyOf(
  otherwise: "allow" | "deny" | "audit",
  rules: readonly PolicyRule[],
  over: Partial<InboundPolicy> = {},
): InboundPolicy {
  const { origin } = rule("deny", "otherwise");
  return {
    ...openPolicy,
    layers: [{ dialect: "istio", ports: [], rules, otherwise: { action: otherwise, origin } }],
    ...over,
  };
}

/** From this address only. */
export function from(address: string, not = false): Condition {
  return { on: "source", any: [{ cidr: address, except: [] }], not };
}

export function onPath(value: string): Condition {
  return { on: "path", any: [{ kind: "exact", value }], not: false };
}
