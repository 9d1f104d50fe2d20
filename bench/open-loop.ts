/**
 * An open-loop generator of HTTP/1 requests, run as a process of its own: `node open-loop.ts PORT RATE SECONDS`.
 *
 * Requests are due at even times, whatever the answers do, and latency counts from the time when a request was due: a
 * proxy that stalls is charged for all who would have waited. Prints one {@link OpenLoopResult} as JSON.
 */
import { once } from "node:events";
import net from "node:net";
import { Worker } from "node:worker_threads";

import { AnswerCounter } from "./load/answers.ts";
import { nowUs, type OpenLoopResult, type Schedule } from "./load/schedule.ts";

const CONNECTIONS = 16;
/** Between the last connection's opening and the first request: also the time in which the ticker starts. */
const LEAD_US = 200_000;
/** How long the last answers may take. */
const GRACE_MS = 2_000;

interface Line {
  readonly socket: net.Socket;
  /** When the request that is under way was due; undefined: the line is free. */
  dueUs: number | undefined;
}

async function generate(port: number, rate: number, seconds: number): Promise<OpenLoopResult> {
  const request = Buffer.from(`GET / HTTP/1.1\r\nHost: bench\r\nUser-Agent: heddle-bench\r\n\r\n`);
  const latencies: number[] = [];
  const lags: number[] = [];
  const free: Line[] = [];
  let failures = 0;
  let next = 0;
  const { promise: done, resolve } = Promise.withResolvers<void>();

  const lines: Line[] = [];
  for (let i = 0; i < CONNECTIONS; i++) lines.push(await connect(port, answered, lost));
  free.push(...lines);
  const schedule: Schedule = { startUs: nowUs() + LEAD_US, intervalUs: 1e6 / rate, count: rate * seconds };
  const ticker = new Worker(new URL("load/ticker.ts", import.meta.url), { workerData: schedule });
  ticker.on("message", send);
  const deadline = setTimeout(resolve, LEAD_US / 1_000 + seconds * 1_000 + GRACE_MS);
  await done;
  clearTimeout(deadline);
  await ticker.terminate();
  for (const { socket } of lines) socket.destroy();
  return { latencies, lags, failures: schedule.count - latencies.length };

  /** Sends all that is due, as far as there are free connections. The rest waits for one, and its clock runs. */
  function send(): void {
    const now = nowUs();
    for (; next < schedule.count; next++) {
      const dueUs = schedule.startUs + next * schedule.intervalUs;
      const line = dueUs > now ? undefined : free.pop();
      if (line === undefined) return;
      line.dueUs = dueUs;
      line.socket.write(request);
      lags.push(nowUs() - dueUs);
    }
  }

  function answered(line: Line, status: number): void {
    const { dueUs } = line;
    if (dueUs === undefined) return;
    if (status === 200) latencies.push(nowUs() - dueUs);
    else failures++;
    line.dueUs = undefined;
    free.push(line);
    if (latencies.length + failures === schedule.count) resolve();
    else send();
  }

  /** A lost connection is not opened again: it shows as failures. */
  function lost(line: Line): void {
    const at = free.indexOf(line);
    if (at !== -1) free.splice(at, 1);
    if (line.dueUs !== undefined) failures++;
    line.dueUs = undefined;
  }
}

async function connect(
  port: number,
  answered: (line: Line, status: number) => void,
  lost: (line: Line) => void,
): Promise<Line> {
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
  await once(socket, "connect");
  const line: Line = { socket, dueUs: undefined };
  const answers = new AnswerCounter((status) => answered(line, status));
  socket.on("data", (chunk: Buffer) => answers.push(chunk));
  socket.on("error", () => {});
  socket.on("close", () => lost(line));
  return line;
}

const [port = 0, rate = 0, seconds = 0] = process.argv.slice(2).map(Number);
process.stdout.write(JSON.stringify(await generate(port, rate, seconds)));
