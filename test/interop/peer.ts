/**
 * One end of a duplex stream in a process of its own, to be killed. `node peer.ts server` prints its port; `node peer.ts
 * client PORT` opens a stream and prints a line for each answer. Both end with their standard input.
 */
import { connectInterop } from "./cases.ts";
import { startInteropServer } from "./server.ts";

const [role, port] = process.argv.slice(2);

if (role === "server") {
  const server = await startInteropServer();
  process.stdout.write(`${server.port}\n`);
} else {
  const call = connectInterop(`127.0.0.1:${port}`).fullDuplexCall();
  call.on("error", () => {});
  call.on("data", () => process.stdout.write("answered\n"));
  call.write({ responseParameters: [{ size: 1 }] });
}
process.stdin.on("end", () => process.exit()).resume();
