/**
 * Real databases and their real clients through two sidecars: once on the port that makes them opaque by default, once on
 * another, where the sidecars have to find out.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { globSync, readFileSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { metricSum } from "./support/mesh.ts";
import { needs } from "./support/peers.ts";
import { finish, output } from "./support/programs.ts";
import { until } from "./support/until.ts";
import { up, type Up } from "./support/up.ts";

const TEN_MIB = 10 * 1024 * 1024;

/** A database starts in a second or a few. */
const RESTART_TIMEOUT_MS = 30_000;

interface Running {
  readonly mesh: Up;
  /** Where the caller finds a service, as it is told in its environment. */
  readonly upstream: (service: string) => string;
  readonly stop: () => Promise<void>;
}

/** A mesh of `services` (YAML), all of which a program called "app" may call. */
async function running(name: string, services: readonly string[], text: (folder: string) => string): Promise<Running> {
  const folder = await mkdtemp(join(tmpdir(), "heddle-databases-"));
  // Databases refuse to run as root, and somebody else has to read their files.
  await chmod(folder, 0o777);
  const app = `  app: { run: exec tail -f /dev/null, ports: [], upstreams: [${services.join(", ")}] }`;
  await writeFile(join(folder, "mesh.yaml"), `name: ${name}\nservices:\n${text(folder)}\n${app}\n`);
  const mesh = await up(join(folder, "mesh.yaml"));
  const pid = mesh.processesOf("app-1")[0];
  const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  return {
    mesh,
    upstream: (service) => {
      const variable = `HEDDLE_UPSTREAM_${service.toUpperCase().replaceAll("-", "_")}=127.0.0.1:`;
      return environment.find((entry) => entry.startsWith(variable))?.slice(variable.length) ?? "";
    },
    stop: async () => {
      await mesh.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A client that stays connected, written to and read from line by line. */
class Held {
  readonly child: ChildProcess;
  text = "";
  closed = false;

  constructor(program: string, args: readonly string[]) {
    this.child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    this.child.stdin?.on("error", () => {});
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on("data", (chunk: Buffer) => (this.text += chunk.toString()));
    }
    this.child.on("close", () => (this.closed = true));
  }

  say(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  async stop(): Promise<void> {
    if (this.closed) return;
    this.child.kill("SIGKILL");
    await once(this.child, "close");
  }
}

function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The connections between the two sidecars and what they carried are in both sidecars' metrics. */
async function assertCounted(mesh: Up, service: string, bytesMin: number): Promise<void> {
  const outbound = await mesh.metrics("app-1");
  const inbound = await mesh.metrics(`${service}-1`);
  const authority = `dst_service="${service}"`;
  assert.ok(metricSum(outbound, "tcp_write_bytes_total", 'peer="dst"', authority) >= bytesMin, "bytes to the service");
  assert.ok(metricSum(outbound, "tcp_read_bytes_total", 'peer="dst"', authority) >= bytesMin, "bytes from the service");
  assert.ok(metricSum(inbound, "tcp_read_bytes_total", 'direction="inbound"', 'peer="src"') >= bytesMin);
  assert.ok(metricSum(inbound, "tcp_write_bytes_total", 'direction="inbound"', 'peer="src"') >= bytesMin);
  assert.ok(metricSum(outbound, "tcp_connection_duration_ms_count", authority) > 0, "how long they lasted");
}

/** What detection found for connections to `service`, at its own sidecar. */
async function detections(mesh: Up, service: string): Promise<number> {
  return metricSum(await mesh.metrics(`${service}-1`), "inbound_tcp_detect_http_results_total");
}

describe("Redis", needs("redis-server", "redis-cli", "redis-benchmark"), () => {
  let of: Running;
  const server = (name: string, port: number): string =>
    `  ${name}: { port: ${port}, run: exec redis-server --port "$PORT" --bind 127.0.0.1 --save '' --appendonly no }`;

  before(async () => {
    of = await running("redis", ["cache", "found-cache"], () =>
      [server("cache", 6379), server("found-cache", 6380)].join("\n"),
    );
  });
  after(() => of.stop());

  for (const service of ["cache", "found-cache"]) {
    describe(service === "cache" ? "on its own port" : "on another port", () => {
      let subscriber: Held;
      const cli = (...args: string[]): string[] => ["-h", "127.0.0.1", "-p", of.upstream(service), ...args];
      const redis = async (...args: string[]): Promise<string> =>
        String(await output("redis-cli", cli(...args))).trim();

      // Held from the first test to the last.
      before(async () => {
        subscriber = new Held("redis-cli", cli("SUBSCRIBE", "news"));
        await until("it is subscribed", () => subscriber.text.includes("subscribe"), 20_000);
      });
      after(() => subscriber.stop());

      it("answers", async () => {
        assert.equal(await redis("PING"), "PONG");
        assert.equal(await redis("SET", "colour", "blue"), "OK");
        assert.equal(await redis("GET", "colour"), "blue");
        assert.match(await redis("NO", "SUCH"), /unknown command/);
        const found = await detections(of.mesh, service);
        assert.equal(found > 0, service === "found-cache", `${found} connections were looked at`);
      });

      it("takes a value of 10 MiB and gives it back", async () => {
        const value = randomBytes(TEN_MIB);
        await output("redis-cli", cli("-x", "SET", "big"), value);
        const back = await output("redis-cli", cli("GET", "big"));
        assert.equal(digest(back.subarray(0, -1)), digest(value), "redis-cli adds a line feed");
        await assertCounted(of.mesh, service, TEN_MIB);
      });

      it("takes 100,000 commands in one pipe", async () => {
        const commands: string[] = [];
        for (let i = 0; i < 100_000; i++) commands.push(`SET key:${i} value-of-${i}\r\n`);
        const said = String(await output("redis-cli", cli("--pipe"), commands.join("")));
        assert.match(said, /errors: 0, replies: 100000/);
        assert.equal(await redis("GET", "key:99999"), "value-of-99999");
      });

      it("serves fifty clients at once", async () => {
        const words = cli("-c", "50", "-n", "10000", "-t", "set,get", "-d", "1000", "--csv");
        const said = String(await output("redis-benchmark", words));
        assert.match(said, /"SET"/);
        assert.match(said, /"GET"/);
      });

      it("passes a message to a subscriber that was silent all the while", async () => {
        assert.equal(await redis("PUBLISH", "news", "all is well"), "1");
        await until("the message is here", () => subscriber.text.includes("all is well"));
      });

      it("comes back after a restart: the old connection ends, new ones work", async () => {
        const pid = Number(/process_id:(\d+)/.exec(await redis("INFO", "server"))?.[1]);
        assert.ok(of.mesh.descendants().includes(pid));
        const watcher = new Held("redis-cli", cli("MONITOR"));
        await until("it monitors", () => watcher.text.includes("OK"), 20_000);
        process.kill(pid, "SIGKILL");
        await until("the old connection is closed", () => watcher.closed, RESTART_TIMEOUT_MS);
        await until(
          "it answers again",
          async () => {
            const { code, stdout } = await finish("redis-cli", cli("DBSIZE"));
            return code === 0 && String(stdout).trim() === "0";
          },
          RESTART_TIMEOUT_MS,
        );
      });
    });
  }
});

/** Debian keeps the server's programs out of PATH. */
function postgresProgram(name: string): string {
  return globSync(`/usr/lib/postgresql/*/bin/${name}`).toSorted().at(-1) ?? name;
}

const [initdb, postgres, pgbench] = ["initdb", "postgres", "pgbench"].map(postgresProgram) as [string, string, string];

describe("PostgreSQL", needs("psql", "setpriv", initdb, postgres, pgbench), () => {
  let of: Running;

  before(async () => {
    of = await running("postgres", ["db", "found-db"], (folder) =>
      [
        ["db", 5432],
        ["found-db", 5433],
      ]
        .map(([name, port]) => {
          const asOther = process.getuid?.() === 0 ? "setpriv --reuid=nobody --regid=nogroup --clear-groups " : "";
          const data = join(folder, `${name}`);
          const settings = `-c unix_socket_directories= -c fsync=off -c shared_buffers=16MB -c max_connections=40`;
          return [
            `  ${name}:`,
            `    port: ${port}`,
            `    run: |`,
            `      cd ${folder}`,
            `      [ -e ${data} ] || ${asOther}${initdb} -D ${data} -U postgres -A trust --no-sync > ${data}.log || exit 1`,
            `      exec ${asOther}${postgres} -D ${data} -h 127.0.0.1 -p "$PORT" ${settings} 2>> ${data}.log`,
          ].join("\n");
        })
        .join("\n"),
    );
  });
  after(() => of.stop());

  for (const service of ["db", "found-db"]) {
    describe(service === "db" ? "on its own port" : "on another port", () => {
      let listener: Held;
      const at = (...args: string[]): string[] => [
        "-h",
        "127.0.0.1",
        "-p",
        of.upstream(service),
        "-U",
        "postgres",
        ...args,
      ];
      const psql = (...args: string[]): string[] =>
        at("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", ...args, "postgres");
      const sql = async (text: string, input: string | Buffer = ""): Promise<string> =>
        String(await output("psql", psql("-c", text), input)).trim();

      // Held from the first test to the last.
      before(async () => {
        listener = new Held("psql", psql());
        listener.say("LISTEN news; SELECT 'listening';");
        await until("it listens", () => listener.text.includes("listening"), 20_000);
      });
      after(() => listener.stop());

      it("answers", async () => {
        assert.equal(await sql("SELECT 6 * 7"), "42");
        await assert.rejects(sql("SELECT nonsense"), /column "nonsense" does not exist/);
        const found = await detections(of.mesh, service);
        assert.equal(found > 0, service === "found-db", `${found} connections were looked at`);
      });

      it("takes a COPY of 10 MiB and gives it back", async () => {
        const rows: string[] = [];
        for (let i = 0, bytes = 0; bytes < TEN_MIB; i++) {
          const row = `${i}\t${randomBytes(512).toString("hex")}\n`;
          rows.push(row);
          bytes += row.length;
        }
        const text = Buffer.from(rows.join(""));
        await sql("CREATE TABLE copied (id int, body text)");
        await sql("\\copy copied FROM STDIN", text);
        const back = await output("psql", psql("-c", "\\copy (SELECT * FROM copied ORDER BY id) TO STDOUT"));
        assert.equal(digest(back), digest(text));
        await assertCounted(of.mesh, service, TEN_MIB);
      });

      it("cancels a query by a connection of its own", async () => {
        const client = new Held("psql", psql());
        client.say("SELECT 'begun'; SELECT pg_sleep(60);");
        const sleeping =
          "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND wait_event = 'PgSleep'";
        await until("it sleeps", async () => (await sql(sleeping)) === "1", 20_000);
        client.child.kill("SIGINT");
        await until("it is cancelled", () => /canceling statement due to user request/.test(client.text));
        await client.stop();
      });

      it("serves twenty clients at once, new connections each time", async () => {
        await output(pgbench, at("-i", "-q", "-s", "1", "postgres"));
        const words = at("-n", "-c", "20", "-j", "2", "-t", "10", "-C", "postgres");
        const said = String(await output(pgbench, words));
        assert.match(said, /transactions actually processed: 200\/200/);
        assert.match(said, /failed transactions: 0/);
      });

      it("tells a listener that was silent all the while", async () => {
        await sql("NOTIFY news, 'all is well'");
        listener.say("SELECT 'asked';");
        await until("the notice is here", () => /notification "news" with payload "all is well"/.test(listener.text));
      });

      it("comes back after a restart: the old connection ends, new ones work", async () => {
        const pid = of.mesh.processesOf(`${service}-1`).find((each) => / -c fsync=off/.test(of.mesh.commandLine(each)));
        assert.ok(pid !== undefined);
        // A fast shutdown: open connections are told, and closed.
        process.kill(pid, "SIGINT");
        await until(
          "it answers again, with what it knew",
          async () => {
            const { code, stdout } = await finish("psql", psql("-c", "SELECT count(*) > 9000 FROM copied"));
            return code === 0 && String(stdout).trim() === "t";
          },
          RESTART_TIMEOUT_MS,
        );
        listener.say("SELECT 'still there?';");
        await until("the old connection is gone", () =>
          /terminating connection|closed the connection/.test(listener.text),
        );
      });
    });
  }
});
