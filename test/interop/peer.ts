/**
 * One end of a stream in a process of its own. `node peer.ts server` listens on PORT, or on a free one, and prints it;
 * `node peer.ts client PORT` opens a stream and prints a line for each answer. Both end with their standard input, if that
 * is a pipe.
 */
import { fstatSync } from "node:fs";

import { connectInterop } from "./cases.ts";
import { startInteropServer } from "./server.ts";

const [role, port] = process.argv.slice(2);

if (role === "server") {
  const server = await startInteropServer(Number(process.env.PORT ?? 0));
  process.stdout.write(`${server.port}\n`);
} else {
  const call = connectInterop(`127.0.0.1:${port}`).fullDuplexCall();
  call.on("error", () => {});
  call.on("data", () => process.stdout.write("answered\n"));
  call.write({ responseParameters: [{ size: 1 }] });
}
if (fstatSync(0).isFIFO()) process.stdin.on("end", () => process.exit()).resume();
