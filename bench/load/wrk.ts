/** wrk: HTTP/1 in a closed loop. Good for CPU per request at a fixed concurrency; its latencies would mislead. */
import { LOAD_CORE, run } from "../processes.ts";
import { LOAD_SLACK_MS, type LoadResult } from "./load.ts";

export interface WrkShape {
  readonly connections: number;
  readonly path: string;
  /** A new connection for each request. */
  readonly churn?: boolean;
}

export async function wrk(program: string, port: number, seconds: number, shape: WrkShape): Promise<LoadResult> {
  const { connections, path, churn = false } = shape;
  const words = ["-t", "1", "-c", String(connections), "-d", `${seconds}s`, "--timeout", "5s"];
  if (churn) words.push("-H", "Connection: close");
  const command = [program, ...words, `http://127.0.0.1:${port}${path}`];
  return parseWrk(await run(command, { cores: LOAD_CORE }, seconds * 1_000 + LOAD_SLACK_MS));
}

/** @throws Error if it is not what wrk 4 prints */
export function parseWrk(text: string): LoadResult {
  const requests = /^\s*(\d+) requests in /m.exec(text);
  const rate = /^Requests\/sec:\s+([\d.]+)/m.exec(text);
  if (requests === null || rate === null) throw new Error(`wrk printed something else:\n${text}`);
  const refused = /Non-2xx or 3xx responses: (\d+)/.exec(text);
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text)?.slice(1) ?? [];
  return {
    requests: Number(requests[1]),
    rate: Number(rate[1]),
    failures: [refused?.[1] ?? "0", ...errors].reduce((sum, count) => sum + Number(count), 0),
  };
}
