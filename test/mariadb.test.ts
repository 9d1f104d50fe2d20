/**
 * A real MariaDB and its own clients through two sidecars: once on the port that makes it opaque by default, once on another,
 * where the sidecars have to find out.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
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

describe("MariaDB, which speaks first", needs("mariadb", "mariadbd", "mariadb-install-db", "setpriv"), () => {
  let of: Running;

  before(async () => {
    const settings =
      "--bind-address=127.0.0.1 --skip-name-resolve --innodb-buffer-pool-size=16M --max-allowed-packet=64M";
    of = await running("mariadb", ["sql", "found-sql"], (folder) =>
      [
        ["sql", 3306],
        ["found-sql", 3307],
      ]
        .map(([name, port]) => {
          const data = join(folder, `${name}`);
          const install = "mariadb-install-db --no-defaults --auth-root-authentication-method=normal --skip-test-db";
          // Under its name only when it is whole, so that a start after one that was cut short begins anew.
          const fresh = `${data}.new`;
          return [
            `  ${name}:`,
            `    port: ${port}`,
            `    run: |`,
            `      [ -e ${data} ] || { rm -rf ${fresh}; ${AS_OTHER}${install} --datadir=${fresh} > ${data}.log 2>&1 && mv ${fresh} ${data}; } || exit 1`,
            `      exec ${AS_OTHER}mariadbd --no-defaults --datadir=${data} --socket=${data}.sock --port="$PORT" ${settings} 2>> ${data}.log`,
          ].join("\n");
        })
        .join("\n"),
    );
  });
  after(() => of.stop());

  for (const service of ["sql", "found-sql"]) {
    const client = (...args: string[]): string[] =>
      [
        "--no-defaults",
        "-h",
        "127.0.0.1",
        "-P",
        of.upstream(service),
        "-u",
        "root",
        "-N",
        "-B",
        "--max-allowed-packet=64M",
      ].concat(args);
    const sql = async (text: string): Promise<string> => String(await output("mariadb", client(), text)).trim();

    describe(service === "sql" ? "on its own port" : "on another port", () => {
      let held: Held;

      // Held from the first test to the last.
      before(async () => {
        held = new Held("mariadb", client("--unbuffered"));
        held.say("SET @colour = 'blue'; SELECT 'connected';");
        await until("it is connected", () => held.text.includes("connected"), 20_000);
      });
      after(() => held.stop());

      it("answers, without anybody waiting for the time of detection to pass", async () => {
        assert.equal(await sql("SELECT 6 * 7;"), "42");
        await assert.rejects(sql("SELECT nonsense;"), /Unknown column 'nonsense'/);
        const found = await detections(of.mesh, `${service}-1`);
        assert.equal(found > 0, service === "found-sql", `${found} connections were looked at`);
        // Most; on a machine that is very busy, one second may pass all the same.
        const late = await detections(of.mesh, `${service}-1`, "read_timeout");
        assert.ok(late <= found / 2, `${late} of ${found} waited for the time of detection to pass`);
      });

      it("takes a value of 10 MiB and gives it back", async () => {
        const value = randomBytes(TEN_MIB / 2).toString("hex");
        await sql(
          `CREATE DATABASE big; CREATE TABLE big.kept (body LONGTEXT); INSERT INTO big.kept VALUES ('${value}');`,
        );
        const back = await sql("SELECT body FROM big.kept;");
        assert.equal(back.length, TEN_MIB);
        assert.equal(digest(Buffer.from(back)), digest(Buffer.from(value)));
        await assertCounted(of.mesh, service, TEN_MIB);
      });

      it("serves twenty clients at once", async () => {
        const clients = Array.from({ length: 20 }, (_, i) => sql("SELECT 1;".repeat(100) + `SELECT ${i};`));
        const said = await Promise.all(clients);
        assert.deepEqual(
          said.map((text) => text.split("\n").at(-1)),
          Array.from(clients.keys(), String),
        );
      });

      it("keeps a session that was silent all the while", async () => {
        held.say("SELECT CONCAT('still ', @colour);");
        await until("it has answered", () => held.text.includes("still blue"));
      });

      it("comes back after a restart: the old connection ends, new ones work", async () => {
        const pid = of.mesh
          .processesOf(`${service}-1`)
          .find((each) => of.mesh.commandLine(each).startsWith("mariadbd "));
        assert.ok(pid !== undefined);
        process.kill(pid, "SIGTERM");
        await until(
          "it answers again, with what it knew",
          async () => {
            const { code, stdout } = await finish("mariadb", client(), "SELECT LENGTH(body) FROM big.kept;");
            return code === 0 && String(stdout).trim() === `${TEN_MIB}`;
          },
          RESTART_TIMEOUT_MS,
        );
        held.say("SELECT 1;");
        await until("the old connection is gone", () => held.closed);
        assert.match(held.text, /Lost connection|gone away|shutdown/);
      });
    });
  }
});
