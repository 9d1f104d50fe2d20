/** h2load: HTTP/2 with prior knowledge in a closed loop. */
import { LOAD_CORE, run } from "../processes.ts";
import { LOAD_SLACK_MS, type LoadResult } from "./load.ts";

export const H2_CONNECTIONS = 8;
export const H2_STREAMS = 10;

export interface H2loadShape {
  readonly path: string;
  /** Request fields, like "te: trailers". */
  readonly headers?: readonly string[];
  /** A file whose content is the body of every request. */
  readonly body?: string;
}

export async function h2load(program: string, port: number, seconds: number, shape: H2loadShape): Promise<LoadResult> {
  const { path, headers = [], body } = shape;
  const concurrency = ["-t", "1", "-c", String(H2_CONNECTIONS), "-m", String(H2_STREAMS), "-D", String(seconds)];
  const content = [...headers.flatMap((field) => ["-H", field]), ...(body === undefined ? [] : ["-d", body])];
  const command = [program, ...concurrency, ...content, `http://127.0.0.1:${port}${path}`];
  return parseH2load(await run(command, { cores: LOAD_CORE }, seconds * 1_000 + LOAD_SLACK_MS));
}

/** @throws Error if it is not what h2load 1.52 prints */
export function parseH2load(text: string): LoadResult {
  const finished = /^finished in [^,]+, ([\d.]+) req\/s/m.exec(text);
  const counts = /^requests: .* (\d+) done, (\d+) succeeded, (\d+) failed/m.exec(text);
  if (finished === null || counts === null) throw new Error(`h2load printed something else:\n${text}`);
  return { requests: Number(counts[1]), rate: Number(finished[1]), failures: Number(counts[3]) };
}
