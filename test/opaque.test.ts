/** Byte streams through two sidecars, from an explicit upstream port. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { describe, it, type TestContext } from "node:test";
import tls from "node:tls";
import { isDeepStrictEqual } from "node:util";

import type { PortProtocol } from "../src/model/service.ts";
import { LISTEN_AHEAD_MS } from "../src/proxy/serve.ts";
import { ANY_PORT, type Instance, metricSum, startMesh, type TestMesh } from "./support/mesh.ts";
import { needs } from "./support/peers.ts";
import { output } from "./support/programs.ts";
import { rawConnect, rawServer } from "./support/raw.ts";
import { until } from "./support/until.ts";

async function mesh(
  context: TestContext,
  protocol: PortProtocol,
  ...applications: readonly { readonly port: number }[]
): Promise<TestMesh & { port: number }> {
  const instances = applications.map(({ port }, i): Instance => ({
    service: "db",
    workload: `db-${i + 1}`,
    protocol,
    applicationPort: port,
  }));
  const started = await startMesh(instances, [{ authority: "db", listen: ANY_PORT }]);
  context.after(() => started.close());
  return { ...started, port: started.caller.addresses.upstreams[0]?.port ?? 0 };
}

/** Connections that the caller's sidecar and the service's have looked at, with what result if one is given. */
async function detections(of: Pick<TestMesh, "metrics">, result = ""): Promise<[outbound: number, inbound: number]> {
  const label = `result="${result}`;
  return [
    metricSum(await of.metrics("caller"), "outbound_tcp_detect_http_results_total", label),
    metricSum(await of.metrics("db-1"), "inbound_tcp_detect_http_results_total", label),
  ];
}

/** Just enough of SMTP (RFC 5321): every line is noted and answered. */
function smtp(socket: Socket, received: string[]): void {
  let text = "";
  let inData = false;
  socket.write("220 mail.test\r\n");
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    for (let end = text.indexOf("\r\n"); end >= 0; end = text.indexOf("\r\n")) {
      const line = text.slice(0, end);
      text = text.slice(end + 2);
      received.push(line);
      if (inData && line !== ".") continue;
      inData = line === "DATA";
      if (line === "QUIT") socket.end("221 bye\r\n");
      else socket.write(inData ? "354 go on\r\n" : "250 ok\r\n");
    }
  });
}

describe("an opaque service", () => {
  it("may speak first, at once", async (context) => {
    const application = await rawServer(context, ({ socket }) => socket.write("hello, who are you?"));
    const { port, ...of } = await mesh(context, "opaque", application);
    const client = await rawConnect(context, port);
    await until("the greeting is here", () => client.text === "hello, who are you?");
    assert.deepEqual(await detections(of), [0, 0], "nobody waited to see what the client would say");
    client.socket.write("GET / HTTP/1.1\r\n\r\n");
    await until(
      "what looks like HTTP is passed on as it is",
      () => application.peers.at(-1)?.text.startsWith("GET / HTTP/1.1\r\n\r\n") === true,
    );
  });

  it("keeps its two directions apart: each ends on its own", async (context) => {
    const application = await rawServer(context);
    const { port, ...of } = await mesh(context, "opaque", application);
    const client = await rawConnect(context, port);
    client.socket.end("question");
    await until("the application has it all", () => application.peers[0]?.ended === true);
    assert.equal(application.peers[0]?.text, "question");
    assert.equal(client.ended, false);
    application.peers[0]?.socket.end("a".repeat(1_000_000));
    await until("the answer came after the question's end", () => client.closed !== "");
    assert.equal(client.text.length, 1_000_000);
    assert.equal(client.closed, "end");
    await until("no connection is open in either sidecar", async () => {
      const texts = [await of.metrics("caller"), await of.metrics("db-1")];
      return texts.every((text) => metricSum(text, "tcp_open_connections", 'authority="db.default:80"') === 0);
    });
  });

  it("is reset when its caller is reset, and the other way round", async (context) => {
    const application = await rawServer(context);
    const { port } = await mesh(context, "opaque", application);
    const first = await rawConnect(context, port);
    first.socket.write("x");
    await until("it is through", () => application.peers[0]?.text === "x");
    first.socket.resetAndDestroy();
    await until("the application sees the reset", () => application.peers[0]?.closed === "ECONNRESET");
    const second = await rawConnect(context, port);
    second.socket.write("x");
    await until("it is through", () => application.peers[1]?.text === "x");
    application.peers[1]?.socket.resetAndDestroy();
    await until("the caller sees the reset", () => second.closed === "ECONNRESET");
  });

  it("waits for an endpoint, as a request does", async (context) => {
    const application = await rawServer(context, ({ socket }) => socket.write("hi"));
    const { port, ...of } = await mesh(context, "opaque", application);
    const instance: Instance = {
      service: "db",
      workload: "db-1",
      protocol: "opaque",
      applicationPort: application.port,
    };
    await of.register(instance, "unhealthy");
    // The first connection makes the sidecar ask; none is ready.
    const client = await rawConnect(context, port);
    client.socket.write("x");
    await of.register(instance, "healthy");
    await until("it is through", () => client.text === "hi");
  });

  it("is refused by a reset when there is nobody, with a metric that says why", async (context) => {
    const started = await startMesh([], [{ authority: "nobody", listen: ANY_PORT }]);
    context.after(() => started.close());
    const client = await rawConnect(context, started.caller.addresses.upstreams[0]?.port ?? 0);
    client.socket.write("\x00\x01binary");
    await until("it is reset", () => client.closed !== "");
    assert.equal(client.closed, "ECONNRESET");
    const text = await started.metrics("caller");
    assert.equal(metricSum(text, "outbound_tcp_errors_total", 'error="unknown_service"'), 1);
  });

  it("of no name is refused after a second, if the client waits for the server", async (context) => {
    const started = await startMesh([], [{ authority: "nobody", listen: ANY_PORT }]);
    context.after(() => started.close());
    const client = await rawConnect(context, started.caller.addresses.upstreams[0]?.port ?? 0);
    await until("it is reset", () => client.closed === "ECONNRESET");
  });

  it("whose application is away resets its callers, and says so at the hop where it happened", async (context) => {
    const application = await rawServer(context);
    const { port, ...of } = await mesh(context, "opaque", application);
    application.close();
    const client = await rawConnect(context, port);
    client.socket.write("x");
    await until("it is reset", () => client.closed === "ECONNRESET");
    assert.equal(metricSum(await of.metrics("db-1"), "inbound_tcp_errors_total", 'error="connect"'), 1);
  });

  it("is reached at another endpoint when one does not accept", async (context) => {
    const gone = await rawServer(context);
    const there = await rawServer(context, ({ socket }) => socket.write("here"));
    const started = await mesh(context, "opaque", gone, there);
    // Its sidecar is gone without a word to the control plane.
    started.sidecars.get("db-1")?.close();
    for (let i = 0; i < 10; i++) {
      const client = await rawConnect(context, started.port);
      await until(`connection ${i} is through`, () => client.text === "here");
    }
  });

  it("is told nothing of HTTP when it is reached by HTTP: the request comes plain", async (context) => {
    const application = await rawServer(context, ({ socket }) => {
      socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    });
    const { caller } = await mesh(context, "opaque", application);
    const client = await rawConnect(context, caller.addresses.outbound?.port ?? 0);
    client.socket.write("GET /x HTTP/1.1\r\nHost: db\r\n\r\n");
    await until("it is answered", () => client.text.endsWith("ok"));
    assert.match(application.peers[0]?.text ?? "", /^GET \/x HTTP\/1\.1\r\nHost: db\r\n/);
  });
});

describe("a service whose protocol is to be detected", () => {
  it("passes a greeting through both sidecars without waiting for the time of detection", async (context) => {
    const application = await rawServer(context, ({ socket }) => socket.write("220 mail"));
    const { port, ...of } = await mesh(context, "detect", application);
    // On a machine that is very busy, one second may pass all the same.
    for (let i = 0; i < 5 && (await detections(of, "not_http")).includes(0); i++) {
      const startedAt = performance.now();
      const client = await rawConnect(context, port);
      await until("the greeting is here", () => client.text === "220 mail");
      context.diagnostic(`greeted after ${Math.round(performance.now() - startedAt)} ms`);
      client.socket.end("quit");
      await until("what follows is passed on", () => application.peers[i]?.text === "quit");
    }
    assert.ok(!(await detections(of, "not_http")).includes(0), "both have found out by the greeting");
  });

  it("is opaque when neither side has spoken for a second, and both sidecars wait at the same time", async (context) => {
    const application = await rawServer(context);
    const { port, ...of } = await mesh(context, "detect", application);
    const client = await rawConnect(context, port);
    await until("the application is connected to", () => application.peers.length === 1);
    assert.deepEqual(await detections(of), [0, 0], "both still wait");
    await until("both have given up", async () => isDeepStrictEqual(await detections(of, "read_timeout"), [1, 1]));
    application.peers[0]?.socket.write("at last");
    await until("the late greeting is here", () => client.text === "at last");
    assert.equal(application.peers.length, 1);
  });

  it("is opaque at once for bytes that are not HTTP, even with an end right behind them", async (context) => {
    const application = await rawServer(context, ({ socket }) => {
      socket.on("end", () => socket.end("got it"));
    });
    const { port, ...of } = await mesh(context, "detect", application);
    const client = await rawConnect(context, port);
    client.socket.end("\x00binary");
    await until("it is answered", () => client.text === "got it");
    assert.equal(application.peers[0]?.text, "\x00binary");
    assert.deepEqual(await detections(of, "not_http"), [1, 1]);
  });

  it("passes TLS through untouched, to where its other end is", async (context) => {
    // With a key known to both there is no need for certificates.
    const key = { psk: Buffer.alloc(16, 7), identity: "caller" };
    const ciphers = "PSK-AES128-GCM-SHA256";
    const server = tls.createServer({ ciphers, maxVersion: "TLSv1.2", pskCallback: () => key.psk }, (socket) =>
      socket.pipe(socket),
    );
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    context.after(() => server.close());
    const { port } = await mesh(context, "detect", { port: (server.address() as AddressInfo).port });
    const client = tls.connect({
      host: "127.0.0.1",
      port,
      ciphers,
      maxVersion: "TLSv1.2",
      pskCallback: () => key,
      checkServerIdentity: () => undefined,
    });
    context.after(() => client.destroy());
    let text = "";
    client.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
    client.write("x".repeat(100_000));
    await until("the echo is here", () => text.length === 100_000);
    client.end();
    await once(client, "close");
  });

  it("carries mail from a real client to a server that speaks first", needs("curl"), async (context) => {
    const mails: string[][] = [];
    const application = await rawServer(context, ({ socket }) => {
      const received: string[] = [];
      mails.push(received);
      smtp(socket, received);
    });
    const { port } = await mesh(context, "detect", application);
    const words = [
      "-sS",
      "--mail-from",
      "a@test",
      "--mail-rcpt",
      "b@test",
      "-T",
      "-",
      `smtp://127.0.0.1:${port}/caller`,
    ];
    await output("curl", words, "Subject: hello\r\n\r\nIt came through.\r\n");
    // A stranger's connection to a port that was somebody else's a moment ago is none of ours.
    assert.deepEqual(
      mails.find(([first]) => first === "EHLO caller"),
      [
        "EHLO caller",
        "MAIL FROM:<a@test>",
        "RCPT TO:<b@test>",
        "DATA",
        "Subject: hello",
        "",
        "It came through.",
        ".",
        "QUIT",
      ],
    );
  });

  it("leaves nothing behind, whatever callers and the service do while it is being found out", async (context) => {
    const greetings = [
      (socket: Socket) => socket.write("220 hello"),
      (socket: Socket) => socket.write("HTTP/1.1 408 Request Timeout\r\n\r\n"),
      (socket: Socket) => socket.end(),
      (socket: Socket) => socket.resetAndDestroy(),
      () => {},
    ];
    let greeted = 0;
    const application = await rawServer(context, ({ socket }) => {
      socket.on("end", () => socket.end());
      greetings[greeted++ % greetings.length]?.(socket);
    });
    const { port, ...of } = await mesh(context, "detect", application);
    const acts: ((socket: Socket) => void)[] = [
      (socket) => socket.write("GET / HTTP/1.1\r\nHost: db\r\n\r\n"),
      (socket) => socket.write("GE"),
      (socket) => socket.write("\x00binary"),
      (socket) => socket.end(),
      (socket) => socket.resetAndDestroy(),
      () => {},
    ];
    const clients: Socket[] = [];
    for (let i = 0; i < 60; i++) {
      const { socket } = await rawConnect(context, port);
      clients.push(socket);
      // At once, about when the server is being dialled, or after it has been.
      setTimeout(() => acts[i % acts.length]?.(socket), [0, LISTEN_AHEAD_MS, 2.5 * LISTEN_AHEAD_MS][i % 3]);
    }
    await until("all is decided", async () => {
      const text = await of.metrics("caller");
      const decided = metricSum(text, "outbound_tcp_detect_http_duration_seconds_count");
      return decided + metricSum(text, "tcp_close_total", 'peer="src"') >= clients.length;
    });
    for (const socket of clients) socket.resetAndDestroy();
    const open = async (workload: string): Promise<number> =>
      metricSum(await of.metrics(workload), "tcp_open_connections", 'peer="src"');
    await until(
      "no connection is open at the service, and in the sidecars none but the one between them that is kept for HTTP",
      async () => {
        const atService = application.peers.filter(({ closed }) => closed === "");
        return (await open("caller")) === 0 && (await open("db-1")) <= 1 && atService.length === 0;
      },
      10_000,
    );
  });

  it("is HTTP for HTTP", async (context) => {
    const application = await rawServer(context, ({ socket }) => {
      socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    });
    const { port, ...of } = await mesh(context, "detect", application);
    const client = await rawConnect(context, port);
    client.socket.write("GET / HTTP/1.1\r\nHost: anything\r\n\r\n");
    await until("it is answered", () => client.text.endsWith("ok"));
    assert.equal(metricSum(await of.metrics("db-1"), "response_total", 'status_code="200"'), 1);
  });
});
