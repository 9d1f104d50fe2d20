/**
 * A real PostgreSQL and its own clients through two sidecars: once on the port that makes it opaque by default, once on another,
 * where the sidecars have to find out.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { globSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import {
  AS_OTHER,
  assertCounted,
  detections,
  digest,
  Held,
  RESTART_TIMEOUT_MS,
  running,
  type Running,
  TEN_MIB,
} from "./support/databases.ts";
import { needs } from "./support/peers.ts";
import { finish, output } from "./support/programs.ts";
import { until } from "./support/until.ts";

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
          const data = join(folder, `${name}`);
          const settings = `-c unix_socket_directories= -c fsync=off -c shared_buffers=16MB -c max_connections=40`;
          return [
            `  ${name}:`,
            `    port: ${port}`,
            `    run: |`,
            `      cd ${folder}`,
            `      [ -e ${data} ] || ${AS_OTHER}${initdb} -D ${data} -U postgres -A trust --no-sync > ${data}.log || exit 1`,
            `      exec ${AS_OTHER}${postgres} -D ${data} -h 127.0.0.1 -p "$PORT" ${settings} 2>> ${data}.log`,
          ].join("\n");
        })
        .join("\n"),
    );
  });
  after(() => of.stop());

  for (const service of ["db", "found-db"]) {
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

    describe(service === "db" ? "on its own port" : "on another port", () => {
      let listener: Held;

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
        const found = await detections(of.mesh, `${service}-1`);
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
