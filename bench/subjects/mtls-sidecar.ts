/** A sidecar of which the certificates are files. Arguments: its port, its admin port, the back end's, the credentials as JSON. */
import { readFileSync } from "node:fs";

import { systemClock } from "../../src/net/clock.ts";
import type { Credentials } from "../../src/net/credentials.ts";
import { startProxy } from "../../src/proxy/proxy.ts";

const [port, admin, target, file = ""] = process.argv.slice(2);
const host = "127.0.0.1";
const current = JSON.parse(readFileSync(file, "utf8")) as Credentials;
await startProxy(
  {
    workload: "single",
    namespace: "shop",
    service: "price",
    control: undefined,
    outbound: undefined,
    upstreams: [],
    inbound: [
      {
        listen: { host, port: Number(port) },
        target: { host, port: Number(target) },
        service: "price",
        port: 80,
        protocol: "http",
      },
    ],
    admin: { host, port: Number(admin) },
    workers: 1,
    logLevel: "warn",
    logFormat: "plain",
    shutdownGraceMs: 1_000,
  },
  systemClock,
  { current, watch: () => () => {} },
);
