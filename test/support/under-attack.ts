/**
 * A sidecar process under attack: what it costs it, seen from outside, and what honest callers notice of it meanwhile.
 */
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";

import { CLIENT_PREFACE } from "../../src/protocol/http2/frames.ts";
import { call } from "./application.ts";
import { frames, RawPeer } from "./http2-peer.ts";
import { type ProcessMesh, SERVICE, startProcessMesh } from "./sidecar-processes.ts";

const MIB = 1024 * 1024;

/** Milliseconds between two honest requests. */
const HONEST_INTERVAL_MS = 10;

/** Ticks of the kernel's accounts of processor time in a second. */
const TICKS_PER_SECOND = 100;

export interface Cost {
  /** MiB that the sidecar had resident at most, above what it had before. */
  readonly memoryMib: number;
  /** Seconds of processor time that it took. */
  readonly cpuSeconds: number;
  /** Honest requests that were answered meanwhile, with 200. */
  readonly answered: number;
  /** What else happened to honest requests. */
  readonly failed: readonly string[];
  /** Milliseconds that the slowest of them took. */
  readonly slowestMs: number;
}

export interface UnderAttack {
  readonly mesh: ProcessMesh;
  /** Port of the application's sidecar. */
  readonly port: number;
  /** MiB resident now. */
  residentMib(): number;
  /** Runs an attack with honest requests beside it, from before its begin until after its end. */
  bear(attack: () => Promise<void>): Promise<Cost>;
  /** An HTTP/2 client that has said what the protocol wants, gone when the attack is over. */
  attacker(settings?: readonly [number, number][]): Promise<RawPeer>;
  /** One that has not said anything yet. */
  silent(): Promise<RawPeer>;
  /** A bare connection. */
  socket(): Promise<net.Socket>;
  close(): Promise<void>;
}

/** The application: /bytes/N answers with N octets, /silence never, anything else with a word when the request has ended. */
async function startTarget(): Promise<http.Server> {
  const most = Buffer.alloc(8 * MIB, "x");
  const server = http.createServer({ requestTimeout: 0 }, (request, response) => {
    request.resume();
    const bytes = /^\/bytes\/(\d+)$/.exec(request.url ?? "");
    if (request.url === "/silence") return;
    if (bytes !== null) response.end(most.subarray(0, Number(bytes[1])));
    else request.on("end", () => response.end("fine"));
  });
  server.listen({ port: 0, host: "127.0.0.1", backlog: 4_096 });
  await once(server, "listening");
  return server;
}

export async function startUnderAttack(): Promise<UnderAttack> {
  const target = await startTarget();
  const mesh = await startProcessMesh((target.address() as net.AddressInfo).port);
  const { pid, port } = mesh.inbound;
  const outbound = `http://127.0.0.1:${mesh.outbound.port}`;
  const agent = new http.Agent({ keepAlive: true });
  const sockets = new Set<net.Socket>();
  const status = (name: string): number =>
    Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;

  const socket = async (): Promise<net.Socket> => {
    const made = net.connect({ port, host: "127.0.0.1", noDelay: true });
    made.on("error", () => {});
    sockets.add(made);
    await once(made, "connect");
    return made;
  };

  return {
    mesh,
    port,
    socket,
    residentMib: () => status("VmRSS"),
    silent: async () => new RawPeer(await socket(), false),
    attacker: async (settings = []) => {
      const peer = new RawPeer(await socket(), false);
      peer.send(Buffer.from(CLIENT_PREFACE), frames.settings(...settings), frames.settingsAck());
      return peer;
    },
    bear: async (attack) => {
      const cost = { answered: 0, failed: [] as string[], slowestMs: 0 };
      const open = new Set<Promise<void>>();
      const ask = async (): Promise<void> => {
        const begin = performance.now();
        const answer = await call(outbound, SERVICE, "/", { agent }).catch((error: Error) => error);
        cost.slowestMs = Math.max(cost.slowestMs, performance.now() - begin);
        if (answer instanceof Error) cost.failed.push(answer.message);
        else if (answer.status === 200) cost.answered++;
        else cost.failed.push(String(answer.status));
      };
      await ask();
      // From here on the kernel notes the highest anew.
      writeFileSync(`/proc/${pid}/clear_refs`, "5");
      const before = { memory: status("VmRSS"), cpu: cpuSeconds(pid) };
      const timer = setInterval(() => {
        const request = ask();
        open.add(request);
        void request.finally(() => open.delete(request));
      }, HONEST_INTERVAL_MS);
      try {
        await attack();
        await ask();
      } finally {
        clearInterval(timer);
        await Promise.all(open);
        for (const each of sockets) each.destroy();
        sockets.clear();
      }
      return { ...cost, memoryMib: status("VmHWM") - before.memory, cpuSeconds: cpuSeconds(pid) - before.cpu };
    },
    close: async () => {
      agent.destroy();
      for (const each of sockets) each.destroy();
      await mesh.close();
      target.close();
      target.closeAllConnections();
    },
  };
}

/** Processor time that a process has taken so far, its own and the kernel's for it. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
