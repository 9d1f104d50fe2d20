/** That a call which nobody waits for any more ends at the other end of the mesh at once, whoever gave it up, and how. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import http2 from "node:http2";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";

import * as grpc from "@grpc/grpc-js";

import { connectInterop } from "./interop/cases.ts";
import type { OutputRequest, OutputResponse, TestClient } from "./interop/protocol.ts";
import { type InteropServer, startInteropServer } from "./interop/server.ts";
import { ANY_PORT, type Instance, metricSum, startMesh, type TestMesh } from "./support/mesh.ts";
import { GRPC_HEADERS, grpcFrame, rawCall, type RawServer, startRawServer } from "./support/raw-grpc.ts";
import { until } from "./support/until.ts";

/** Milliseconds within which the other end has to know, half of the time; far above what it takes, for a busy machine. */
const MEDIAN_MS_MAX = 50;
const ROUNDS = 30;

const QUEUE_LENGTH = "outbound_http_balancer_queue_length";

type Duplex = grpc.ClientDuplexStream<OutputRequest, OutputResponse>;

function instance(service: string, applicationPort: number): Instance {
  return { service, workload: `${service}-1`, protocol: "grpc", applicationPort };
}

function upstream(mesh: TestMesh, index = 0): string {
  return `127.0.0.1:${mesh.caller.addresses.upstreams[index]?.port}`;
}

/** A stream that has been answered once, so it is open all the way. */
async function openStream(client: TestClient, options: grpc.CallOptions = {}): Promise<Duplex> {
  const call = client.fullDuplexCall(new grpc.Metadata(), options);
  call.on("error", () => {});
  call.write({ responseParameters: [{ size: 1 }] });
  await once(call, "data");
  return call;
}

function statusOf(call: Duplex): Promise<grpc.StatusObject> {
  call.resume();
  return new Promise((resolve) => call.once("status", resolve));
}

/** The median; all of them are printed. */
function report(t: TestContext, what: string, times: readonly number[]): number {
  const sorted = times.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] as number;
  t.diagnostic(`${what}: median ${median.toFixed(2)} ms, at most ${sorted.at(-1)?.toFixed(2)} ms`);
  return median;
}

/** A peer in its own process. @returns it and its first line */
async function startPeer(...args: readonly string[]): Promise<{ peer: ChildProcess; line: string }> {
  const program = join(import.meta.dirname, "interop", "peer.ts");
  const peer = spawn(process.execPath, [program, ...args], { stdio: ["pipe", "pipe", "inherit"] });
  const [line] = (await once(peer.stdout, "data")) as [Buffer];
  return { peer, line: String(line).trim() };
}

describe("a gRPC call that is given up", () => {
  let server: InteropServer;
  let mesh: TestMesh;
  let client: TestClient;

  before(async () => {
    server = await startInteropServer();
    mesh = await startMesh([instance("js", server.port)], [{ listen: ANY_PORT, authority: "js" }]);
    client = connectInterop(upstream(mesh));
  });
  after(async () => {
    client.close();
    await mesh.close();
    server.close();
  });

  it("by its client ends at the server", async (t) => {
    const times: number[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      const call = await openStream(client);
      const seen = server.cancelledAt.length;
      const cancelledAt = performance.now();
      call.cancel();
      await until("the server knows", () => server.cancelledAt.length > seen);
      times.push((server.cancelledAt[seen] as number) - cancelledAt);
    }
    assert.equal(server.streams.size, 0);
    assert.ok(report(t, "cancelled by the client, known to the server", times) < MEDIAN_MS_MAX);
  });

  it("by its deadline ends at both ends, and the server knew how long it had", async (t) => {
    const timeoutMs = 150;
    const times: number[] = [];
    for (let i = 0; i < ROUNDS / 3; i++) {
      const seen = server.cancelledAt.length;
      const begun = performance.now();
      const call = await openStream(client, { deadline: Date.now() + timeoutMs });
      assert.equal((await statusOf(call)).code, grpc.status.DEADLINE_EXCEEDED);
      await until("the server knows", () => server.cancelledAt.length > seen);
      times.push((server.cancelledAt[seen] as number) - begun - timeoutMs);
      const given = server.deadlinesMs.at(-1) ?? 0;
      assert.ok(given > 0 && given <= timeoutMs, `the server was given ${given} ms`);
    }
    assert.ok(report(t, "ended at the server, after the deadline", times) < MEDIAN_MS_MAX);
  });

  it("by the death of its client ends at the server", async (t) => {
    const port = upstream(mesh).split(":")[1] as string;
    const { peer } = await startPeer("client", port);
    const seen = server.cancelledAt.length;
    const killedAt = performance.now();
    peer.kill("SIGKILL");
    await until("the server knows", () => server.cancelledAt.length > seen);
    assert.ok(report(t, "killed, known to the server", [(server.cancelledAt[seen] as number) - killedAt]) < 1_000);
  });

  it("by its server ends at the client, with the server's word", async (t) => {
    const times: number[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      const call = await openStream(client);
      const end = statusOf(call);
      const [stream] = server.streams;
      const failedAt = performance.now();
      stream?.emit("error", Object.assign(new Error("no more"), { code: grpc.status.ABORTED, details: "no more" }));
      const { code, details } = await end;
      times.push(performance.now() - failedAt);
      assert.deepEqual([code, details], [grpc.status.ABORTED, "no more"]);
    }
    assert.ok(report(t, "failed by the server, known to the client", times) < MEDIAN_MS_MAX);
  });
});

describe("a gRPC call whose server dies", () => {
  it("fails as unavailable, whether it has been answered or not", async (t) => {
    const { peer, line } = await startPeer("server");
    const mesh = await startMesh([instance("js", Number(line))], [{ listen: ANY_PORT, authority: "js" }]);
    const client = connectInterop(upstream(mesh));
    t.after(async () => {
      client.close();
      await mesh.close();
    });
    const answered = await openStream(client);
    const silent = client.fullDuplexCall();
    silent.on("error", () => {});
    silent.write({});
    // What is written after it on the same connection has been read: so has this.
    await openStream(client);
    const ends = Promise.all([statusOf(answered), statusOf(silent)]);
    const killedAt = performance.now();
    peer.kill("SIGKILL");
    const statuses = await ends;
    assert.ok(report(t, "killed, known to the client", [performance.now() - killedAt]) < 1_000);
    for (const { code, details, metadata } of statuses) {
      assert.equal(code, grpc.status.UNAVAILABLE, details);
      assert.match(details, /^HED1006: /);
      assert.deepEqual(metadata.get("heddle-hop"), ["inbound js-1.default"]);
    }
  });
});

describe("a server that resets the stream", () => {
  let server: RawServer;
  let mesh: TestMesh;

  before(async () => {
    server = await startRawServer();
    mesh = await startMesh([instance("raw", server.port)], [{ listen: ANY_PORT, authority: "raw" }]);
  });
  after(async () => {
    await mesh.close();
    server.close();
  });

  const { NGHTTP2_NO_ERROR, NGHTTP2_PROTOCOL_ERROR, NGHTTP2_INTERNAL_ERROR } = http2.constants;
  const { NGHTTP2_REFUSED_STREAM, NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM } = http2.constants;
  const { NGHTTP2_INADEQUATE_SECURITY } = http2.constants;

  for (const [errorCode, name] of [
    [NGHTTP2_NO_ERROR, "NO_ERROR"],
    [NGHTTP2_PROTOCOL_ERROR, "PROTOCOL_ERROR"],
    [NGHTTP2_INTERNAL_ERROR, "INTERNAL_ERROR"],
    [NGHTTP2_REFUSED_STREAM, "REFUSED_STREAM"],
    [NGHTTP2_CANCEL, "CANCEL"],
    [NGHTTP2_ENHANCE_YOUR_CALM, "ENHANCE_YOUR_CALM"],
    [NGHTTP2_INADEQUATE_SECURITY, "INADEQUATE_SECURITY"],
  ] as const) {
    for (const begun of [false, true]) {
      it(`with ${name}, ${begun ? "within" : "before"} the answer, looks as it does without a mesh`, async () => {
        server.answer = ({ stream }) => {
          if (!begun) return stream.close(errorCode);
          // Waiting for trailers keeps Node from ending the stream before it resets it.
          stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
          stream.write(grpcFrame(Buffer.alloc(0)), () => stream.close(errorCode));
        };
        const codes: grpc.status[] = [];
        for (const address of [`127.0.0.1:${server.port}`, upstream(mesh)]) {
          const client = connectInterop(address);
          const call = client.fullDuplexCall();
          call.on("error", () => {});
          call.write({});
          codes.push((await statusOf(call)).code);
          client.close();
        }
        const [without, through] = codes.map((code) => grpc.status[code]);
        assert.equal(through, without);
        assert.notEqual(without, "OK");
      });
    }
  }
});

describe("a sidecar, for a client that does not look at the clock", () => {
  const timeoutMs = 120;
  let server: RawServer;
  let mesh: TestMesh;
  let origins: readonly string[];
  /** Its only endpoint is unhealthy. */
  let nobody: Instance;

  before(async () => {
    server = await startRawServer();
    nobody = instance("nobody", server.port);
    mesh = await startMesh(
      [instance("raw", server.port), nobody],
      [
        { listen: ANY_PORT, authority: "raw" },
        { listen: ANY_PORT, authority: "nobody" },
      ],
    );
    await mesh.register(nobody, "unhealthy");
    const inbound = mesh.sidecars.get("raw-1")?.addresses.inbound[0];
    origins = [`http://${upstream(mesh)}`, `http://127.0.0.1:${inbound?.port}`];
  });
  after(async () => {
    await mesh.close();
    server.close();
  });

  for (const [index, side] of ["outbound", "inbound"].entries()) {
    for (const ended of [true, false]) {
      it(`ends an unanswered call, ${side}, its request ${ended ? "ended" : "open"}`, async () => {
        server.answer = () => {};
        const body = ended ? grpcFrame(Buffer.alloc(0)) : undefined;
        const answer = await rawCall(origins[index] as string, { "grpc-timeout": `${timeoutMs}m` }, body);
        assert.equal(answer.headers[":status"], 200);
        assert.equal(answer.headers["grpc-status"], "4");
        assert.match(String(answer.headers["grpc-message"]), /^HED1014: /);
        assert.equal(answer.headers["heddle-error"], "HED1014 deadline");
        assert.match(String(answer.headers["heddle-hop"]), new RegExp(`^${side} `));
        assert.ok(answer.tookMs >= timeoutMs - 1, `after ${answer.tookMs} ms`);
        const call = server.calls.at(-1);
        const given = /^([0-9]+)u$/.exec(String(call?.headers["grpc-timeout"]))?.[1];
        assert.ok(Number(given) > 0 && Number(given) <= timeoutMs * 1_000, `the server was given ${given} µs`);
        assert.equal((await call?.closed)?.resetCode, NGHTTP2_CANCEL, "the server is told");
      });
    }

    it(`ends a call within its answer, ${side}`, async () => {
      const message = grpcFrame(Buffer.from("first"));
      server.answer = ({ stream }) => {
        stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
        stream.write(message);
      };
      const answer = await rawCall(origins[index] as string, { "grpc-timeout": `${timeoutMs}m` }, Buffer.alloc(0));
      assert.deepEqual(answer.body, message, "what was said before is there");
      assert.equal(answer.trailers["grpc-status"], "4");
      assert.match(String(answer.trailers["grpc-message"]), /^HED1014: /);
      assert.equal(answer.trailers["heddle-error"], "HED1014 deadline");
      assert.equal((await server.calls.at(-1)?.closed)?.resetCode, NGHTTP2_CANCEL);
    });
  }

  it("does not explain itself behind an answer that the client does not take", async () => {
    server.answer = ({ stream }) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.write(grpcFrame(Buffer.alloc(4 * 1024 * 1024)));
    };
    for (const origin of origins) {
      const session = http2.connect(origin);
      const stream = session.request({ ":method": "POST", ":path": "/a.B/C", ...GRPC_HEADERS, "grpc-timeout": "200m" });
      let trailers = false;
      stream.on("trailers", () => (trailers = true));
      stream.on("error", () => {});
      stream.end();
      const closed = once(stream, "close");
      await once(stream, "response");
      assert.equal((await server.calls.at(-1)?.closed)?.resetCode, NGHTTP2_CANCEL, "the server is told");
      await closed;
      assert.equal(stream.rstCode, NGHTTP2_CANCEL);
      assert.equal(trailers, false);
      session.destroy();
    }
  });

  it("counts the deadline as what it was", async () => {
    const caller = await mesh.metrics("caller");
    assert.ok(metricSum(caller, "response_total", 'error="deadline"') >= 3);
    assert.ok(metricSum(caller, "outbound_http_errors_total", 'error="deadline"') >= 3);
  });

  it("does not wait longer for an endpoint than the caller does", async () => {
    const answer = await rawCall(`http://${upstream(mesh, 1)}`, { "grpc-timeout": `${timeoutMs}m` }, Buffer.alloc(0));
    assert.equal(answer.headers["grpc-status"], "4");
    assert.ok(answer.tookMs < 2_500, `after ${answer.tookMs} ms`);
  });

  it("does not give the time that a call has waited to the server again", async () => {
    server.answer = ({ stream }) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "0" }, { endStream: true });
    };
    const answered = rawCall(`http://${upstream(mesh, 1)}`, { "grpc-timeout": "2500m" }, Buffer.alloc(0));
    await until("it waits", async () => metricSum(await mesh.metrics("caller"), QUEUE_LENGTH, '"nobody') === 1);
    const begun = performance.now();
    await until("it has waited for a while", () => performance.now() - begun > 200);
    const waitedMs = performance.now() - begun;
    await mesh.register(nobody);
    assert.equal((await answered).headers["grpc-status"], "0");
    const [, given] = /^([0-9]+)u$/.exec(String(server.calls.at(-1)?.headers["grpc-timeout"])) ?? [];
    assert.ok(
      Number(given) > 0 && Number(given) <= (2_500 - waitedMs) * 1_000,
      `${given} µs of 2.5 s after ${waitedMs} ms`,
    );
  });

  it("lets malformed values through untouched", async () => {
    server.answer = ({ stream }) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "13" }, { endStream: true });
    };
    for (const value of ["soon", "1", "-1m", "123456789m"]) {
      const answer = await rawCall(origins[0] as string, { "grpc-timeout": value }, Buffer.alloc(0));
      assert.equal(answer.headers["grpc-status"], "13");
      assert.equal(server.calls.at(-1)?.headers["grpc-timeout"], value);
    }
  });
});

const { NGHTTP2_CANCEL } = http2.constants;
