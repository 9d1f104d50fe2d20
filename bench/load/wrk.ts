/** wrk: HTTP/1 in a closed loop. Good for CPU per request at a fixed concurrency; its latencies would mislead. */
import { LOAD_CORE, run } from "../processes.ts";
import { LOAD_SLACK_MS, type LoadResult } from "./load.ts";

export const WRK_CONNECTIONS = 32;

export async function wrk(program: string, port: number, seconds: number): Promise<LoadResult> {
  const shape = ["-t", "1", "-c", String(WRK_CONNECTIONS), "-d", `${seconds}s`, "--timeout", "5s"];
  const command = [program, ...shape, `http://127.0.0.1:${port}/`];
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
