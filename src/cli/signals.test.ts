import assert from "node:assert/strict";
import { afterEach, it } from "node:test";
import { until } from "../../test/support/until.ts";
import { onEndSignals, SAME_SIGNAL_MS, signalExitCode } from "./signals.ts";

let forget = (): void => undefined;
afterEach(() => forget());

it("tells the first signal from a later one, and one that came twice from two", async () => {
  const heard: string[] = [];
  forget = onEndSignals({
    first: (signal) => heard.push(`first ${signal}`),
    again: (signal) => heard.push(`again ${signal}`),
  });
  process.emit("SIGINT", "SIGINT");
  process.emit("SIGINT", "SIGINT");
  assert.deepEqual(heard, ["first SIGINT"]);
  const since = performance.now();
  await until("it is another one", () => performance.now() - since > SAME_SIGNAL_MS + 20);
  process.emit("SIGTERM", "SIGTERM");
  assert.deepEqual(heard, ["first SIGINT", "again SIGTERM"]);
});

it("gives exit codes as a shell does", () => {
  assert.deepEqual([signalExitCode("SIGINT"), signalExitCode("SIGTERM")], [130, 143]);
});
