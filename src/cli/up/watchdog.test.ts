import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { describe, it } from "node:test";
import { until } from "../../../test/support/until.ts";
import { isAlive } from "../testing/alive.ts";

/** A process that starts programs under a watchdog, prints their ids, and then waits to be killed. */
const parent = `
import { spawnerWith } from ${JSON.stringify(join(import.meta.dirname, "process.ts"))};
import { Watchdog } from ${JSON.stringify(join(import.meta.dirname, "watchdog.ts"))};
const start = spawnerWith(new Watchdog());
const run = (script) => start(
  { command: ["/bin/sh", "-c", script], directory: "/", env: process.env, stdio: "lines" },
  { onLine: (line) => console.log(line), onExit: () => console.log("ended") },
);
run("exit 0");
run("echo $$; sleep 60 & echo $!; wait");
run("trap '' TERM; echo $$; while :; do sleep 1; done");
setInterval(() => {}, 1000);
`;

describe("Watchdog", () => {
  it("ends all programs and what they started when this process is killed", async () => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", parent], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const words = (): string[] => output.split("\n").filter((word) => word !== "");
    await until("all have started", () => words().length === 4 && words().includes("ended"), 10_000);
    const pids = words()
      .filter((word) => word !== "ended")
      .map(Number);
    assert.ok(pids.every(isAlive));
    child.kill("SIGKILL");
    await until("none is left", () => !pids.some(isAlive), 10_000);
  });
});
