/**
 * A real Redis and its own clients through two sidecars: once on the port that makes it opaque by default, once on another,
 * where the sidecars have to find out.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";

import {
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

/** A service in mesh.yaml. */
function server(name: string, port: number): string {
  return `  ${name}: { port: ${port}, run: exec redis-server --port "$PORT" --bind 127.0.0.1 --save '' --appendonly no }`;
}

describe("Redis", needs("redis-server", "redis-cli", "redis-benchmark"), () => {
  let of: Running;
  before(async () => {
    of = await running("redis", ["cache", "found-cache"], () =>
      [server("cache", 6379), server("found-cache", 6380)].join("\n"),
    );
  });
  after(() => of.stop());

  for (const service of ["cache", "found-cache"]) {
    const cli = (...args: string[]): string[] => ["-h", "127.0.0.1", "-p", of.upstream(service), ...args];
    const redis = async (...args: string[]): Promise<string> => String(await output("redis-cli", cli(...args))).trim();

    describe(service === "cache" ? "on its own port" : "on another port", () => {
      let subscriber: Held;

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
        const found = await detections(of.mesh, `${service}-1`);
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
