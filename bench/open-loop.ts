/**
 * An open-loop generator of HTTP/1 requests, run as a process of its own: `node open-loop.ts PORT RATE SECONDS`.
 *
 * Requests are due at even times, whatever the answers do, and latency counts from the time when a request was due: a
 * proxy that stalls is charged for all who would have waited. Prints one {@link OpenLoopResult} as JSON.
 *
 * It never sleeps, since waking up takes longer than what is to be measured: between two looks at its sockets it looks at
 * the clock. Run it in the scheduling class SCHED_IDLE, in which whoever else wants the core has it at once. What it
 * keeps is allocated beforehand; with a young generation large enough for a turn it collects no garbage meanwhile.
 */
import type { Socket } from "node:net";

import { AnswerCounter } from "./load/answers.ts";
import { type OpenLoopResult, Schedule } from "./load/schedule.ts";
import { connect } from "./load/sockets.ts";

const CONNECTIONS = 16;
/** Between the last connection's opening and the first request. */
const LEAD_MS = 20;
/** Seconds of the same load beforehand that do not count: in them V8 compiles what is to be quick. */
const WARM_UP_SECONDS = 0.3;
/** How long the last answers may take. */
const GRACE_MS = 2_000;

interface Line {
  readonly socket: Socket;
  /** When the request that is under way was due; NaN: the line is free. */
  dueMs: number;
}

async function generate(port: number, rate: number, seconds: number): Promise<OpenLoopResult> {
  const request = Buffer.from(`GET / HTTP/1.1\r\nHost: bench\r\nUser-Agent: heddle-bench\r\n\r\n`);
  const latencies = new Float64Array(rate * seconds);
  const lags = new Float64Array(rate * seconds);
  let measured = 0;
  let answers = 0;
  let failures = 0;
  let next = 0;
  const free: Line[] = [];
  for (let i = 0; i < CONNECTIONS; i++) free.push(await open(port, answered, lost));
  const lines = [...free];
  const uncounted = Math.round(rate * WARM_UP_SECONDS);
  const schedule = new Schedule(performance.now() + LEAD_MS, rate, uncounted + rate * seconds);
  const measuredFromMs = schedule.dueMs(uncounted);
  const deadline = schedule.dueMs(schedule.count) + GRACE_MS;
  const { promise: done, resolve } = Promise.withResolvers<void>();
  setImmediate(look);
  await done;
  for (const { socket } of lines) socket.destroy();
  return {
    latencies: Array.from(latencies.subarray(0, measured), toUs),
    lags: Array.from(lags.subarray(0, Math.max(0, next - uncounted)), toUs),
    failures: schedule.count - answers,
  };

  function look(): void {
    send();
    if (answers + failures >= schedule.count || performance.now() > deadline) resolve();
    else setImmediate(look);
  }

  /** Sends all that is due, as far as there are free connections. The rest waits for one, and its clock runs. */
  function send(): void {
    for (; next < schedule.count; next++) {
      const now = performance.now();
      const dueMs = schedule.dueMs(next);
      const line = dueMs > now ? undefined : free.pop();
      if (line === undefined) return;
      line.dueMs = dueMs;
      if (next >= uncounted) lags[next - uncounted] = now - dueMs;
      line.socket.write(request);
    }
  }

  function answered(line: Line, status: number): void {
    const { dueMs } = line;
    if (Number.isNaN(dueMs)) return;
    if (status === 200) answers++;
    else failures++;
    if (status === 200 && dueMs >= measuredFromMs) latencies[measured++] = performance.now() - dueMs;
    line.dueMs = Number.NaN;
    free.push(line);
  }

  /** A lost connection is not opened again: it shows as failures. */
  function lost(line: Line): void {
    const at = free.indexOf(line);
    if (at !== -1) free.splice(at, 1);
    if (!Number.isNaN(line.dueMs)) failures++;
    line.dueMs = Number.NaN;
  }
}

async function open(
  port: number,
  answered: (line: Line, status: number) => void,
  lost: (line: Line) => void,
): Promise<Line> {
  let line: Line | undefined;
  const answers = new AnswerCounter((status) => line !== undefined && answered(line, status));
  const socket = await connect(
    port,
    (chunk) => answers.push(chunk),
    () => line !== undefined && lost(line),
  );
  line = { socket, dueMs: Number.NaN };
  return line;
}

function toUs(ms: number): number {
  return ms * 1_000;
}

const [port = 0, rate = 0, seconds = 0] = process.argv.slice(2).map(Number);
process.stdout.write(JSON.stringify(await generate(port, rate, seconds)));
