/** The configuration file of an nginx that is one process. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export interface NginxBlocks {
  /** Modules to load, by their paths. */
  readonly modules?: readonly string[];
  /** What stands in `http`. */
  readonly http?: string;
  /** What stands in `stream`. */
  readonly stream?: string;
}

/** @returns the file's path */
export function nginxConfig(folder: string, name: string, { modules = [], http, stream }: NginxBlocks): string {
  const path = join(folder, `${name}.conf`);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (kind) => `  ${kind}_temp_path ${join(folder, `${name}-${kind}`)};`,
  );
  writeFileSync(
    path,
    `${modules.map((module) => `load_module ${module};\n`).join("")}daemon off;
master_process off;
worker_processes 1;
pid ${join(folder, `${name}.pid`)};
error_log stderr crit;
events { worker_connections 8192; }
${stream === undefined ? "" : `stream { ${stream} }`}
${http === undefined ? "" : `http {\n${HTTP_COMMON}${temporary.join("\n")}\n${http}\n}`}
`,
  );
  return path;
}

const HTTP_COMMON = `  access_log off;
  sendfile on;
  tcp_nodelay on;
  open_file_cache max=16 inactive=1h;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
`;
