/** nghttpx with one worker thread in one process, HTTP/2 with prior knowledge on both sides. */
import { awaitListening, freePort } from "../ports.ts";
import { PROXY_CORE, start } from "../processes.ts";
import { NGHTTPX } from "./names.ts";
import type { Subject } from "./subject.ts";

export async function startNghttpx(program: string, backend: number): Promise<Subject> {
  const port = await freePort();
  const command = [
    program,
    "--conf=/dev/null",
    `--frontend=127.0.0.1,${port};no-tls`,
    `--backend=127.0.0.1,${backend};;proto=h2;no-tls`,
    "--workers=1",
    "--single-process",
    "--log-level=FATAL",
    "--accesslog-file=/dev/null",
  ];
  const child = start(NGHTTPX, command, { cores: PROXY_CORE });
  await awaitListening(child, port);
  return { name: NGHTTPX, port, processes: [child] };
}
