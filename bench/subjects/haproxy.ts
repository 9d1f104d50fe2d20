/** HAProxy with one thread, keep-alive to both sides. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { awaitListening, freePort } from "../ports.ts";
import { PROXY_CORE, start } from "../processes.ts";
import { HAPROXY } from "./names.ts";
import { overHttp2, type Subject, type Traffic } from "./subject.ts";

export async function startHaproxy(
  program: string,
  folder: string,
  traffic: Traffic,
  backend: number,
): Promise<Subject> {
  const port = await freePort();
  const config = join(folder, `haproxy-${port}.cfg`);
  const proto = overHttp2(traffic) ? " proto h2" : "";
  const mode = traffic === "tcp" ? "mode tcp" : "mode http\n  option http-keep-alive\n  http-reuse always";
  writeFileSync(
    config,
    `global
  nbthread 1
  maxconn 4000
defaults
  ${mode}
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
frontend front
  bind 127.0.0.1:${port}${proto}
  default_backend back
backend back
  server one 127.0.0.1:${backend}${proto}
`,
  );
  const child = start(HAPROXY, [program, "-f", config], { cores: PROXY_CORE });
  await awaitListening(child, port);
  return { name: HAPROXY, port, processes: [child] };
}
