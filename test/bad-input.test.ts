/**
 * Peers that break the rules, over real sockets through real sidecars: each gets a clear answer, is counted, disturbs no
 * other request on the same sidecar, and leaves nothing open.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { after, before, beforeEach, describe, it, type TestContext } from "node:test";

import { type Application, call, startApplication } from "./support/application.ts";
import { metricSum, startMesh, type TestMesh } from "./support/mesh.ts";
import { type RawPeer, rawConnect, rawServer } from "./support/raw.ts";
import { until } from "./support/until.ts";

/** Requests that run beside the mischief, slowly enough to be in flight while it happens. */
class Bystanders {
  readonly #mesh: TestMesh;
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
  readonly statuses: number[] = [];
  readonly #workers: Promise<void>[];
  #stop = false;

  constructor(mesh: TestMesh) {
    this.#mesh = mesh;
    this.#workers = Array.from({ length: 4 }, () => this.#work());
  }

  async end(): Promise<void> {
    const reached = this.statuses.length;
    await until("they go on", () => this.statuses.length >= reached + 4);
    this.#stop = true;
    await Promise.all(this.#workers);
    this.#agent.destroy();
    assert.deepEqual([...new Set(this.statuses)], [200], "no bystander has noticed");
  }

  async #work(): Promise<void> {
    while (!this.#stop) {
      const { status } = await call(this.#mesh.outbound, "good", "/", { agent: this.#agent });
      this.statuses.push(status);
    }
  }
}

/** Connections open towards callers of a sidecar. */
async function callers(mesh: TestMesh, workload: string): Promise<number> {
  return metricSum(await mesh.metrics(workload), "tcp_open_connections", 'peer="src"');
}

async function count(mesh: TestMesh, workload: string, name: string, ...labels: string[]): Promise<number> {
  return metricSum(await mesh.metrics(workload), name, ...labels);
}

describe("a caller that breaks the rules", () => {
  let mesh: TestMesh;
  let application: Application;
  let port: number;
  let connectionsBefore = 0;

  before(async () => {
    application = await startApplication("good-1");
    application.delayMs = 5;
    mesh = await startMesh([
      { service: "good", workload: "good-1", protocol: "http", applicationPort: application.port },
    ]);
    port = mesh.caller.addresses.outbound?.port ?? 0;
  });
  after(async () => {
    await mesh.close();
    application.close();
  });
  beforeEach(async () => {
    await until("nothing is left of what was before", async () => (await callers(mesh, "caller")) === 0);
    connectionsBefore = await callers(mesh, "caller");
  });

  /** Runs the mischief beside other requests; afterwards nothing is left of it. */
  async function mischief(context: TestContext, act: (client: RawPeer) => Promise<void>): Promise<void> {
    const bystanders = new Bystanders(mesh);
    await act(await rawConnect(context, port));
    await bystanders.end();
    await until("its connection is gone", async () => (await callers(mesh, "caller")) === connectionsBefore);
    await until("nothing is in flight behind, at most a few idle connections", async () => {
      const text = await mesh.metrics("good-1");
      return metricSum(text, "tcp_open_connections", 'peer="dst"') <= 6;
    });
  }

  const malformed: Record<string, string> = {
    "a request line without a version": "GET /\r\n\r\n",
    "bytes that are no HTTP at all": "\x00\x01\x02\x03 hello\r\n\r\n",
    "a field name with a space": "GET / HTTP/1.1\r\nHost: good\r\nBad Name: x\r\n\r\n",
    "two different lengths": "POST / HTTP/1.1\r\nHost: good\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length and chunks":
      "POST / HTTP/1.1\r\nHost: good\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two hosts": "GET / HTTP/1.1\r\nHost: good\r\nHost: other\r\n\r\n",
    "no host": "GET / HTTP/1.1\r\n\r\n",
    "a chunk that is no number": "POST / HTTP/1.1\r\nHost: good\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "a head that never ends": `GET / HTTP/1.1\r\nHost: good\r\n${"X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(2_000)}`,
  };
  for (const [what, bytes] of Object.entries(malformed)) {
    it(`sends ${what}: is told so, in the sidecar's name`, async (context) => {
      const errors = await count(mesh, "caller", "outbound_http_errors_total");
      await mischief(context, async (client) => {
        client.socket.write(bytes, "latin1");
        await until("the sidecar has closed", () => client.ended || client.closed !== "");
        assert.match(client.text, /^HTTP\/1\.1 4\d\d /);
        assert.match(client.text, /heddle-error: HED1010 bad_request/i);
        assert.match(client.text, /heddle-hop: outbound caller\.default/i);
        client.socket.destroy();
      });
      assert.equal(await count(mesh, "caller", "outbound_http_errors_total"), errors + 1);
    });
  }

  it("speaks TLS: is closed and counted", async (context) => {
    await mischief(context, async (client) => {
      client.socket.write(Buffer.from([0x16, 0x03, 0x01, 0x00, 0x05, 1, 0, 0, 1, 0]));
      await until("it is closed", () => client.ended || client.closed !== "");
      assert.equal(client.text, "");
    });
    assert.ok((await count(mesh, "caller", "outbound_tcp_errors_total", 'error="not_http"')) >= 1);
  });

  it("names another protocol in its request line: is closed without an answer, and counted", async (context) => {
    const errors = await count(mesh, "caller", "outbound_tcp_errors_total", 'error="not_http"');
    for (const line of ["DESCRIBE rtsp://good/ RTSP/1.0", "INVITE sip:good SIP/2.0", "INVALID CONNECTION PREFACE"]) {
      await mischief(context, async (client) => {
        client.socket.write(`${line}\r\n\r\n`);
        await until("it is closed", () => client.ended || client.closed !== "");
        assert.equal(client.text, "");
      });
    }
    assert.equal(await count(mesh, "caller", "outbound_tcp_errors_total", 'error="not_http"'), errors + 3);
  });

  it("breaks HTTP/2: is told by GOAWAY", async (context) => {
    const errors = await count(mesh, "caller", "outbound_http_errors_total");
    await mischief(context, async (client) => {
      client.socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
      // DATA on stream 0.
      client.socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x78]));
      await until("it is closed", () => client.ended || client.closed !== "");
      const bytes = Buffer.from(client.text, "latin1");
      assert.ok(bytes.includes(Buffer.from([7, 0, 0, 0, 0, 0])), "GOAWAY on stream 0");
      client.socket.destroy();
    });
    assert.equal(await count(mesh, "caller", "outbound_http_errors_total"), errors + 1);
  });

  it("tears its request into single bytes: is served all the same", async (context) => {
    await mischief(context, async (client) => {
      for (const byte of "POST / HTTP/1.1\r\nHost: good\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n") {
        client.socket.write(byte);
        await new Promise(setImmediate);
      }
      await until("it is answered", () => client.text.includes('"body":"abc"'));
      client.socket.destroy();
    });
  });

  const vanishing: Record<string, string> = {
    "before a byte": "",
    "in the request line": "GET / HT",
    "in the head": "GET / HTTP/1.1\r\nHost: go",
    "in the body": "POST / HTTP/1.1\r\nHost: good\r\nContent-Length: 100\r\n\r\nabc",
    "in a chunk": "POST / HTTP/1.1\r\nHost: good\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc",
    "while it waits for the answer": "GET /silence HTTP/1.1\r\nHost: good\r\n\r\n",
    "while the name of its service is looked up": "GET / HTTP/1.1\r\nHost: never-heard-of\r\n\r\n",
  };
  for (const [when, bytes] of Object.entries(vanishing)) {
    for (const how of ["with a FIN", "with a reset"]) {
      it(`vanishes ${when} ${how}`, async (context) => {
        await mischief(context, async (client) => {
          client.socket.write(bytes);
          await new Promise((resolve) => setTimeout(resolve, 20));
          if (how === "with a FIN") client.socket.destroySoon();
          else client.socket.resetAndDestroy();
        });
      });
    }
  }

  it("vanishes in the answer", async (context) => {
    application.delayMs = 0;
    await mischief(context, async (client) => {
      const body = "x".repeat(2_000_000);
      client.socket.pause();
      client.socket.write(`POST / HTTP/1.1\r\nHost: good\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      client.socket.once("readable", () => {});
      await until(
        "the answer has begun",
        async () => (await count(mesh, "caller", "tcp_write_bytes_total", 'peer="src"')) > 100_000,
      );
      client.socket.resetAndDestroy();
    });
    application.delayMs = 5;
  });

  it("asks for a tunnel to what is no service: is told so, and what it sent for the tunnel is no request", async (context) => {
    await mischief(context, async (client) => {
      const smuggled = "GET /smuggled HTTP/1.1\r\nHost: good\r\n\r\n";
      client.socket.write(`CONNECT elsewhere:80 HTTP/1.1\r\nHost: good:80\r\n\r\n${smuggled}`);
      await until("it is answered and closed", () => client.ended);
      assert.match(client.text, /^HTTP\/1\.1 404 /);
      assert.equal(client.text.match(/HTTP\/1\.1/g)?.length, 1);
      client.socket.destroy();
    });
  });

  it("names what cannot be a service: is told so, and nobody is asked", async () => {
    for (const host of ["*", "[::1]:80", "x".repeat(300)]) {
      const { status, headers } = await call(mesh.outbound, host);
      assert.equal(status, 404, host);
      assert.equal(headers["heddle-error"], "HED1001 unknown_service");
    }
  });
});

/** An application that answers the first request on each connection with these bytes, in these pieces. */
interface BadAnswer {
  readonly pieces: readonly string[];
  /** What it does then. */
  readonly finally?: "fin" | "reset";
  /** The status that the caller gets; 0: the answer is cut. */
  readonly status: number;
  /** The `error` label of the inbound sidecar's `response_total`; "" if it is a good answer. */
  readonly error: string;
}

const BAD_ANSWERS: Record<string, BadAnswer> = {
  garbage: { pieces: ["\x00\x01\x02 not http\r\n\r\n"], status: 502, error: "bad_answer" },
  "a status that is no number": { pieces: ["HTTP/1.1 abc OK\r\n\r\n"], status: 502, error: "bad_answer" },
  "two different lengths": {
    pieces: ["HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
    status: 502,
    error: "bad_answer",
  },
  "a field line without a colon": { pieces: ["HTTP/1.1 200 OK\r\nnothing\r\n\r\n"], status: 502, error: "bad_answer" },
  "a 101 that nobody asked for": {
    pieces: ["HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"],
    status: 502,
    error: "bad_answer",
  },
  "nothing, and closes": { pieces: [""], finally: "fin", status: 502, error: "closed" },
  "nothing, and resets": { pieces: [""], finally: "reset", status: 502, error: "closed" },
  "half a head, and closes": {
    pieces: ["HTTP/1.1 200 OK\r\nContent-Le"],
    finally: "fin",
    status: 502,
    error: "closed",
  },
  "half a body, and closes": {
    pieces: ["HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "half"],
    finally: "fin",
    status: 0,
    error: "closed",
  },
  "half a chunk, and closes": {
    pieces: ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "ff\r\nhalf"],
    finally: "fin",
    status: 0,
    error: "closed",
  },
  "a bad chunk": {
    pieces: ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "zz\r\n"],
    status: 0,
    error: "bad_answer",
  },
  "more than it said": { pieces: ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more"], status: 200, error: "" },
  "two answers": {
    pieces: ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"],
    status: 200,
    error: "",
  },
  "a body that ends with the connection": {
    pieces: ["HTTP/1.1 200 OK\r\n\r\n", "ok"],
    finally: "fin",
    status: 200,
    error: "",
  },
  "single bytes": {
    pieces: Array.from("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
    status: 200,
    error: "",
  },
};

async function misbehave(socket: net.Socket, bad: BadAnswer): Promise<void> {
  for (const piece of bad.pieces) {
    if (piece !== "") socket.write(piece, "latin1");
    await new Promise((resolve) => setTimeout(resolve, bad.pieces.length > 5 ? 1 : 10));
  }
  if (bad.finally === "fin") socket.end();
  else if (bad.finally === "reset") socket.resetAndDestroy();
}

describe("an application that breaks the rules", () => {
  for (const [what, bad] of Object.entries(BAD_ANSWERS)) {
    it(`answers with ${what}`, async (context) => {
      const good = await startApplication("good-1");
      good.delayMs = 5;
      const application = await rawServer(context, ({ socket }) => {
        socket.once("data", () => void misbehave(socket, bad));
      });
      const mesh = await startMesh([
        { service: "good", workload: "good-1", protocol: "http", applicationPort: good.port },
        { service: "bad", workload: "bad-1", protocol: "http", applicationPort: application.port },
      ]);
      context.after(async () => {
        await mesh.close();
        good.close();
      });
      for (const service of ["good", "bad"]) {
        await until(`the caller's sidecar has heard of ${service}`, async () => {
          const outcome = await call(mesh.outbound, service).catch(() => undefined);
          return outcome?.status !== 404;
        });
      }
      const counted = await count(mesh, "bad-1", "response_total");
      const bystanders = new Bystanders(mesh);
      for (let i = 0; i < 3; i++) {
        // Not idempotent, so that it is sent once.
        const answer = call(mesh.outbound, "bad", "/", { method: "POST", body: "x" });
        if (bad.status === 0) {
          await assert.rejects(answer, /aborted|ECONNRESET/);
        } else {
          const { status, headers, body } = await answer;
          assert.equal(status, bad.status, body);
          if (status === 200) assert.equal(body, "ok");
          else assert.equal(headers["heddle-hop"], "inbound bad-1.default");
        }
      }
      await bystanders.end();
      await until("it is counted for what it was", async () => {
        const label = bad.error === "" ? 'status_code="200"' : `error="${bad.error}"`;
        return (await count(mesh, "bad-1", "response_total", label)) === counted + 3;
      });
      assert.equal(await count(mesh, "bad-1", "response_total"), counted + 3);
      for (const { socket } of application.peers) socket.destroy();
      await until("no connection to it is left", async () => {
        return (await count(mesh, "bad-1", "tcp_open_connections", 'peer="dst"')) === 0;
      });
    });
  }

  it("never answers, and its caller waits for as long as it likes", async (context) => {
    const application = await rawServer(context);
    const mesh = await startMesh([
      { service: "bad", workload: "bad-1", protocol: "http", applicationPort: application.port },
    ]);
    context.after(() => mesh.close());
    const client = await rawConnect(context, mesh.caller.addresses.outbound?.port ?? 0);
    client.socket.write("GET / HTTP/1.1\r\nHost: bad\r\n\r\n");
    await until("the application has it", () => application.peers[0]?.text.startsWith("GET /") === true);
    client.socket.destroy();
    await until("the application is told that nobody waits any more", () => application.peers[0]?.closed !== "");
  });
});

/** Sockets open in this process. */
function sockets(): number {
  return process.getActiveResourcesInfo().filter((name) => /TCP|Pipe/.test(name)).length;
}

describe("afterwards", () => {
  it("a sidecar that is closed has left nothing open in this process", async () => {
    const idle = sockets();
    const application = await startApplication("good-1");
    const mesh = await startMesh([
      { service: "good", workload: "good-1", protocol: "http", applicationPort: application.port },
    ]);
    const idler = net.connect(mesh.caller.addresses.outbound?.port ?? 0, "127.0.0.1");
    await once(idler, "connect");
    assert.equal((await call(mesh.outbound, "good")).status, 200);
    idler.on("error", () => {});
    await mesh.close();
    application.close();
    idler.destroy();
    http.globalAgent.destroy();
    await until("all sockets are closed", () => sockets() <= idle);
  });
});
