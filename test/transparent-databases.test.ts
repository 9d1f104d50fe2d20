/**
 * `heddle up --transparent` and databases: unchanged clients dial real servers by name, in TLS of their own as they like.
 * PostgreSQL's clients ask first whether there is TLS, in eight bytes, and go on as they are answered; MariaDB's servers
 * speak first.
 */
import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";

import { AS_OTHER } from "./support/databases.ts";
import { metricSum } from "./support/mesh.ts";
import { needsRoot, outputIn } from "./support/namespaces.ts";
import { output } from "./support/programs.ts";
import { transparentMesh, type TransparentMesh } from "./support/transparent.ts";
import { until } from "./support/until.ts";
import { heddle } from "./support/up.ts";

/** Debian keeps the server's programs out of PATH. */
function postgresProgram(name: string): string {
  return globSync(`/usr/lib/postgresql/*/bin/${name}`).toSorted().at(-1) ?? name;
}

const [initdb, postgres] = ["initdb", "postgres"].map(postgresProgram) as [string, string];

/** Databases with files of their own take a while to begin on a busy machine. */
const SLOW_MS = 120_000;

/** A folder that also those who are not root may write to, with a certificate for servers in it. */
async function dataFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "heddle-databases-"));
  context.after(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }));
  await chmod(folder, 0o777);
  const words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=db";
  await output("openssl", [...words.split(" "), "-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")]);
  // Servers want a key of their own, that nobody else can read.
  await chmod(join(folder, "key.pem"), 0o600);
  if (AS_OTHER !== "") await output("chown", ["nobody:nogroup", join(folder, "key.pem")]);
  return folder;
}

/** What `heddle edges` says of two services. */
async function secured(mesh: TransparentMesh, from: string, to: string): Promise<boolean> {
  const words = [process.execPath, heddle, "edges", "-o", "json"];
  const edges = JSON.parse(await outputIn(mesh.machine, words)) as Record<string, string>[];
  return edges.some((edge) => edge["src"] === from && edge["dst"] === to && edge["no_tls_reason"] === "");
}

/** Of the connections that a workload's sidecar took in, those that were looked at, with one result if one is given. */
async function detections(mesh: TransparentMesh, workload: string, result = ""): Promise<number> {
  const words = [process.execPath, heddle, "endpoints", "-o", "json"];
  const rows = JSON.parse(await outputIn(mesh.machine, words)) as { workload: string; admin: string }[];
  const admin = rows.find((row) => row.workload === workload)?.admin ?? "";
  const text = await outputIn(mesh.machine, ["curl", "-sS", `http://${admin}/metrics`]);
  const labels = result === "" ? [] : [`result="${result}"`];
  return metricSum(text, "inbound_tcp_detect_http_results_total", ...labels);
}

const MARIADB_PROGRAMS = ["nft", "openssl", "mariadb", "mariadbd", "mariadb-install-db", "setpriv"];
const POSTGRES_PROGRAMS = ["nft", "curl", "openssl", "psql", "setpriv", initdb, postgres];

describe("PostgreSQL in heddle up --transparent", needsRoot(...POSTGRES_PROGRAMS), () => {
  /** On its own port, on another one, and one that has no TLS. */
  const SERVERS = [
    ["db", 5432, "on"],
    ["found", 5433, "on"],
    ["plain", 5434, "off"],
  ] as const;

  it("is called by an unchanged psql, whatever it wants of TLS", { timeout: 600_000 }, async (context) => {
    const folder = await dataFolder(context);
    const services = SERVERS.map(([name, port, ssl]) => {
      const data = join(folder, name);
      const certificate = `-c ssl_cert_file=${folder}/cert.pem -c ssl_key_file=${folder}/key.pem`;
      const settings = `-c unix_socket_directories= -c fsync=off -c shared_buffers=16MB -c ssl=${ssl} ${certificate}`;
      return [
        `  ${name}:`,
        `    port: ${port}`,
        `    run: |`,
        `      cd ${folder}`,
        `      [ -e ${data} ] || ${AS_OTHER}${initdb} -D ${data} -U postgres -A trust --no-sync > ${data}.log || exit 1`,
        `      exec ${AS_OTHER}${postgres} -D ${data} -h '*' -p ${port} ${settings} 2>> ${data}.log`,
      ].join("\n");
    });
    const client = "  client: { run: exec sleep 3600, ports: [] }";
    const mesh = await transparentMesh(context, `services:\n${services.join("\n")}\n${client}\n`);
    const psql = (service: string, sslmode: string, sql: string) => {
      const port = SERVERS.find(([name]) => name === service)?.[1];
      const where = `host=${service} port=${port} user=postgres dbname=postgres sslmode=${sslmode} connect_timeout=30`;
      return mesh.inside("client-1", ["psql", where, "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]);
    };
    /** Whether the server saw TLS of the client's on this connection. */
    const tlsOf = async (service: string, sslmode: string): Promise<string> => {
      const { code, stdout, stderr } = await psql(
        service,
        sslmode,
        "SELECT coalesce(version, 'none') FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
      );
      assert.equal(code, 0, stderr);
      return stdout.trim();
    };

    for (const [service, , ssl] of SERVERS) {
      await context.test(`${service}, which has TLS of its own: ${ssl}`, async () => {
        assert.equal(await tlsOf(service, "disable"), "none");
        assert.equal(await tlsOf(service, "prefer"), ssl === "on" ? "TLSv1.3" : "none");
        if (ssl === "on") assert.equal(await tlsOf(service, "require"), "TLSv1.3");
        else {
          const { code, stderr } = await psql(service, "require", "SELECT 1");
          assert.equal(code, 2);
          assert.match(stderr, /server does not support SSL, but SSL was required/);
        }
      });

      await context.test(`${service}: much passes both ways, in plain and in TLS`, async () => {
        for (const mode of ["disable", "prefer"]) {
          const { code, stdout, stderr } = await psql(service, mode, "SELECT repeat('heddle', 500000)");
          assert.equal(code, 0, stderr);
          assert.equal(stdout, `${"heddle".repeat(500_000)}\n`);
        }
      });

      await context.test(`${service}: the mesh has secured the call`, async () => {
        await until("the edge is shown", () => secured(mesh, "client", service), SLOW_MS);
        // On its own port nobody looks at what is said; elsewhere the eight bytes are enough to know that it is not HTTP.
        const found = await detections(mesh, `${service}-1`);
        assert.equal(found > 0, service !== "db", `${found} connections were looked at`);
        // On a machine that is very busy, the time for that may pass all the same.
        const late = await detections(mesh, `${service}-1`, "read_timeout");
        assert.ok(late <= found / 2, `${late} of ${found} waited for the time of detection to pass`);
      });
    }

    await context.test("heddle check finds nothing wrong with it", async () => {
      const { code, stdout } = await mesh.machine.run([process.execPath, heddle, "check", "--wait", "1m"], "");
      assert.equal(code, 0, stdout);
      assert.doesNotMatch(stdout, /[‼×]/u);
    });
  });
});

describe("MariaDB in heddle up --transparent", needsRoot(...MARIADB_PROGRAMS), () => {
  /** On its own port, and on another one. */
  const SERVERS = [
    ["sql", 3306],
    ["found-sql", 3307],
  ] as const;

  it("is called by an unchanged client, in plain and in TLS", { timeout: 600_000 }, async (context) => {
    const folder = await dataFolder(context);
    const install = "mariadb-install-db --no-defaults --auth-root-authentication-method=normal --skip-test-db";
    const services = SERVERS.map(([name, port]) => {
      const data = join(folder, name);
      const certificate = `--ssl-cert=${folder}/cert.pem --ssl-key=${folder}/key.pem`;
      const settings = `--skip-name-resolve --innodb-buffer-pool-size=16M --max-allowed-packet=64M ${certificate}`;
      return [
        `  ${name}:`,
        `    port: ${port}`,
        `    run: |`,
        `      [ -e ${data} ] || { ${AS_OTHER}${install} --datadir=${data}.new > ${data}.log 2>&1 && mv ${data}.new ${data}; } || exit 1`,
        `      exec ${AS_OTHER}mariadbd --no-defaults --datadir=${data} --socket=${data}.sock --port=${port} ${settings} 2>> ${data}.log`,
      ].join("\n");
    });
    const client = "  client: { run: exec sleep 3600, ports: [] }";
    const mesh = await transparentMesh(context, `services:\n${services.join("\n")}\n${client}\n`);
    for (const [service, port] of SERVERS) {
      const words = ["mariadb", "--no-defaults", "-h", service, "-P", `${port}`, "-u", "root", "-N", "-B"];
      for (const tls of ["--skip-ssl", "--ssl"]) {
        await context.test(`${service} ${tls}`, async () => {
          const sql = "SELECT 6 * 7; SHOW STATUS LIKE 'Ssl_version'; SELECT REPEAT('heddle', 500000)";
          const { code, stdout, stderr } = await mesh.inside("client-1", [...words, tls, "-e", sql]);
          assert.equal(code, 0, stderr);
          const version = tls === "--ssl" ? "TLSv1.3" : "";
          assert.equal(stdout, `42\nSsl_version\t${version}\n${"heddle".repeat(500_000)}\n`);
        });
      }
      await context.test(`${service}: the mesh has secured the call`, async () => {
        await until("the edge is shown", () => secured(mesh, "client", service), SLOW_MS);
      });
    }
  });
});
