/**
 * gRPC-Web passes through untouched, over either HTTP version on either side, and so does compression; with Connect's
 * client and server, which share no code with grpc-js. What the sidecar says itself is understood as well.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { create, createFileRegistry, type DescService, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError, createClient, type ServiceImpl, type Transport } from "@connectrpc/connect";
import {
  compressionGzip,
  connectNodeAdapter,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { loadSync } from "@grpc/proto-loader";

import { call } from "./support/application.ts";
import { ANY_PORT, type Instance, metricSum, startMesh, type TestMesh } from "./support/mesh.ts";
import { grpcFrame, rawCall, startRawServer } from "./support/raw-grpc.ts";

const SIZE = 300_000;

function absolute(name: string): string {
  return name === "" || name.startsWith(".") ? name : `.grpc.testing.${name}`;
}

/** test.proto for protobuf-es, from proto-loader's reading of it, whose names of types are relative. */
function testService(): DescService {
  const loaded = loadSync(join(import.meta.dirname, "interop", "test.proto"));
  const { fileDescriptorProtos } = loaded["grpc.testing.Empty"] as { fileDescriptorProtos: Buffer[] };
  const file = fileDescriptorProtos.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
  for (const { messageType, service: services } of file) {
    for (const field of messageType.flatMap((message) => message.field)) field.typeName = absolute(field.typeName);
    for (const method of services.flatMap((one) => one.method)) {
      method.inputType = absolute(method.inputType);
      method.outputType = absolute(method.outputType);
    }
  }
  const found = createFileRegistry(create(FileDescriptorSetSchema, { file })).getService("grpc.testing.TestService");
  if (found === undefined) throw new Error("test.proto has no TestService");
  return found;
}

const service = testService();

interface Answer {
  readonly payload?: { readonly body: Uint8Array };
}

/** The client of a service whose types exist at run time only. */
interface TestClient {
  unaryCall(request: object, options?: object): Promise<Answer>;
  streamingOutputCall(request: object): AsyncIterable<Answer>;
}

function clientOf(transport: Transport): TestClient {
  return createClient(service, transport) as Client<DescService> & TestClient;
}

interface Request {
  readonly responseSize: number;
  readonly payload?: { readonly body: Uint8Array };
  readonly responseParameters: readonly { readonly size: number }[];
  readonly responseStatus?: { readonly code: number; readonly message: string };
}

function sized(size: number): object {
  return { payload: { body: new Uint8Array(size) } };
}

const handler = connectNodeAdapter({
  routes: (router) => {
    const implementation = {
      unaryCall: (request: unknown) => {
        const { responseStatus, responseSize, payload } = request as Request;
        if (responseStatus !== undefined) throw new ConnectError(responseStatus.message, responseStatus.code);
        assert.equal(payload?.body.length ?? SIZE, SIZE);
        return sized(responseSize);
      },
      async *streamingOutputCall(request: unknown) {
        const { responseStatus, responseParameters } = request as Request;
        for (const { size } of responseParameters) yield sized(size);
        if (responseStatus !== undefined) throw new ConnectError(responseStatus.message, responseStatus.code);
      },
    };
    router.service(service, implementation as unknown as Partial<ServiceImpl<DescService>>);
  },
});

async function listen(server: http.Server | http2.Http2Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

function expectCode(code: Code, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ConnectError);
    assert.equal(Code[error.code], Code[code], error.message);
    assert.match(error.rawMessage, message);
    return true;
  };
}

describe("gRPC-Web through two sidecars", () => {
  const servers = { web1: http.createServer(handler), web2: http2.createServer(handler) };
  const sessions = new Set<http2.ServerHttp2Session>();
  let mesh: TestMesh;

  before(async () => {
    servers.web2.on("session", (session: http2.ServerHttp2Session) => sessions.add(session));
    const instances: Instance[] = [
      { service: "web1", workload: "web1-1", protocol: "http", applicationPort: await listen(servers.web1) },
      { service: "web2", workload: "web2-1", protocol: "grpc", applicationPort: await listen(servers.web2) },
    ];
    const upstreams = ["web1", "web2", "nobody"].map((authority) => ({ listen: ANY_PORT, authority }));
    mesh = await startMesh(instances, upstreams);
  });
  after(async () => {
    await mesh.close();
    servers.web1.close();
    servers.web1.closeAllConnections();
    servers.web2.close();
    for (const session of sessions) session.destroy();
  });

  const baseUrl = (index: number): string => `http://127.0.0.1:${mesh.caller.addresses.upstreams[index]?.port}`;
  const webClient = (index: number, httpVersion: "1.1" | "2"): TestClient =>
    clientOf(createGrpcWebTransport({ baseUrl: baseUrl(index), httpVersion }));

  for (const [index, server] of ["HTTP/1", "HTTP/2"].entries()) {
    for (const version of ["1.1", "2"] as const) {
      it(`from an HTTP/${version} client to an ${server} server`, { timeout: 20_000 }, async () => {
        const client = webClient(index, version);
        const request = { responseSize: SIZE, payload: { body: new Uint8Array(SIZE) } };
        assert.equal((await client.unaryCall(request)).payload?.body.length, SIZE);

        const sizes = [31_415, 9, 2_653, 58_979];
        const received: (number | undefined)[] = [];
        const stream = client.streamingOutputCall({ responseParameters: sizes.map((size) => ({ size })) });
        for await (const { payload } of stream) received.push(payload?.body.length);
        assert.deepEqual(received, sizes);

        const responseStatus = { code: Code.Aborted, message: "no more ☺" };
        await assert.rejects(client.unaryCall({ responseStatus }), expectCode(Code.Aborted, /^no more ☺$/));
        const failing = client.streamingOutputCall({ responseParameters: [{ size: 1 }], responseStatus });
        await assert.rejects(
          async () => {
            for await (const { payload } of failing) assert.equal(payload?.body.length, 1);
          },
          expectCode(Code.Aborted, /^no more ☺$/),
        );
      });
    }
  }

  it("is answered by a sidecar itself in a way that its clients understand", { timeout: 20_000 }, async () => {
    for (const version of ["1.1", "2"] as const) {
      const client = webClient(2, version);
      // Twice, since over HTTP/1 the answer must leave the connection fit for the next.
      for (let i = 0; i < 2; i++) {
        await assert.rejects(client.unaryCall({}), expectCode(Code.NotFound, /^HED1001: /));
      }
    }
  });

  it("as text, too, comes through byte for byte", async () => {
    const message = grpcFrame(Buffer.from("hello"));
    const trailers = Buffer.from([0x80, 0, 0, 0, 16, ...Buffer.from("grpc-status: 0\r\n")]);
    const text = message.toString("base64") + trailers.toString("base64");
    const type = "application/grpc-web-text+proto";
    const seen: { headers: http.IncomingHttpHeaders; body: string }[] = [];
    const application = http.createServer((request, response) => {
      let body = "";
      request.on("data", (chunk) => (body += String(chunk)));
      request.on("end", () => {
        seen.push({ headers: request.headers, body });
        response.writeHead(200, { "Content-Type": type, "X-Grpc-Web": "1" });
        response.write(text.slice(0, 7));
        response.end(text.slice(7));
      });
    });
    const applicationPort = await listen(application);
    const other = await startMesh([{ service: "text", workload: "text-1", protocol: "http", applicationPort }]);
    const headers = { "Content-Type": type, "X-Grpc-Web": "1", "Grpc-Timeout": "5S" };
    const got = await call(other.outbound, "text", "/a.B/C", { method: "POST", body: text, headers });
    assert.equal(got.status, 200);
    assert.equal(got.body, text);
    assert.equal(got.headers["content-type"], type);
    assert.equal(got.headers["grpc-status"], undefined);
    assert.deepEqual(
      seen.map(({ headers: given, body }) => [given["content-type"], given["grpc-timeout"], body]),
      [[type, "5S", text]],
    );
    await other.close();
    application.close();
    application.closeAllConnections();
  });
});

describe("compressed gRPC through two sidecars", () => {
  it("arrives compressed, and the answer too", { timeout: 20_000 }, async () => {
    const server = http2.createServer(handler);
    const sessions = new Set<http2.ServerHttp2Session>();
    server.on("session", (session: http2.ServerHttp2Session) => sessions.add(session));
    const applicationPort = await listen(server);
    const mesh = await startMesh(
      [{ service: "zip", workload: "zip-1", protocol: "grpc", applicationPort }],
      [{ listen: ANY_PORT, authority: "zip" }],
    );
    const client = clientOf(
      createGrpcTransport({
        baseUrl: `http://127.0.0.1:${mesh.caller.addresses.upstreams[0]?.port}`,
        sendCompression: compressionGzip,
        acceptCompression: [compressionGzip],
        compressMinBytes: 0,
      }),
    );
    const { payload } = await client.unaryCall({ responseSize: SIZE, payload: { body: new Uint8Array(SIZE) } });
    assert.equal(payload?.body.length, SIZE);
    const metrics = await mesh.metrics("caller");
    const moved =
      metricSum(metrics, "tcp_read_bytes_total", 'peer="src"') +
      metricSum(metrics, "tcp_read_bytes_total", 'peer="dst"');
    assert.ok(moved > 0 && moved < SIZE / 10, `${moved} bytes for ${2 * SIZE}`);
    await mesh.close();
    server.close();
    for (const session of sessions) session.destroy();
  });

  it("keeps its flags and its announcement, byte for byte, even where they contradict each other", async () => {
    const server = await startRawServer();
    const mesh = await startMesh(
      [{ service: "raw", workload: "raw-1", protocol: "grpc", applicationPort: server.port }],
      [{ listen: ANY_PORT, authority: "raw" }],
    );
    const asked = grpcFrame(Buffer.from("not really compressed"), true);
    const answered = grpcFrame(Buffer.from([0x1f, 0x8b, 0xff, 0x00]), true);
    const received: Buffer[] = [];
    server.answer = ({ stream }) => {
      stream.on("data", (chunk: Buffer) => received.push(chunk));
      stream.on("end", () => {
        const head = { ":status": 200, "content-type": "application/grpc", "grpc-encoding": "snappy" };
        stream.respond(head, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
        stream.end(answered);
      });
    };
    const origin = `http://127.0.0.1:${mesh.caller.addresses.upstreams[0]?.port}`;
    const headers = { "grpc-encoding": "gzip", "grpc-accept-encoding": "identity,deflate,gzip" };
    const answer = await rawCall(origin, headers, asked);
    assert.deepEqual(Buffer.concat(received), asked);
    assert.equal(server.calls[0]?.headers["grpc-encoding"], "gzip");
    assert.equal(server.calls[0]?.headers["grpc-accept-encoding"], "identity,deflate,gzip");
    assert.deepEqual(answer.body, answered);
    assert.equal(answer.headers["grpc-encoding"], "snappy");
    assert.equal(answer.trailers["grpc-status"], "0");
    await mesh.close();
    server.close();
  });
});
