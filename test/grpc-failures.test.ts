/** What a real gRPC client makes of a sidecar's own answers. */
import assert from "node:assert/strict";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";

import * as grpc from "@grpc/grpc-js";

import { connectInterop } from "./interop/cases.ts";
import { type Instance, startMesh, type TestMesh } from "./support/mesh.ts";
import { freePorts } from "./support/ports.ts";

function instance(service: string, applicationPort: number): Instance {
  return { service, workload: `${service}-1`, protocol: "grpc", applicationPort };
}

function portOf(server: net.Server): number {
  return (server.address() as AddressInfo).port;
}

describe("a failure of the mesh, for grpc-js", () => {
  const sockets = new Set<net.Socket>();
  const garbage = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
  });
  const hangup = net.createServer((socket) =>
    socket.on("error", () => {}).once("data", () => socket.resetAndDestroy()),
  );
  let mesh: TestMesh;

  before(async () => {
    const [nothing] = (await freePorts(1)) as [number];
    for (const server of [garbage, hangup]) await once(server.listen(0, "127.0.0.1"), "listening");
    const instances = [
      instance("sick", nothing),
      instance("down", nothing),
      instance("garbage", portOf(garbage)),
      instance("hangup", portOf(hangup)),
    ];
    mesh = await startMesh(instances);
    await mesh.register(instances[0] as Instance, "unhealthy");
  });
  after(async () => {
    await mesh.close();
    garbage.close();
    hangup.close();
    for (const socket of sockets) socket.destroy();
  });

  const { NOT_FOUND, UNAVAILABLE, INTERNAL } = grpc.status;
  const failures: readonly [string, string, grpc.status, RegExp, string][] = [
    ["a name that nobody has", "nobody", NOT_FOUND, /^HED1001 /, "outbound caller.default"],
    ["a service without a healthy endpoint", "sick", UNAVAILABLE, /^HED1003 /, "outbound caller.default"],
    ["a service whose program is not there", "down", UNAVAILABLE, /^HED100[35] /, "inbound down-1.default"],
    ["a service that does not speak HTTP/2", "garbage", INTERNAL, /^HED1007 /, "inbound garbage-1.default"],
    ["a service that hangs up", "hangup", UNAVAILABLE, /^HED1006 /, "inbound hangup-1.default"],
  ];
  for (const [what, authority, code, failure, hop] of failures) {
    it(`${what} is ${grpc.status[code]}, with Heddle's word for it`, { timeout: 20_000 }, async () => {
      const client = connectInterop(mesh.outbound.slice("http://".length), authority);
      const call = client.emptyCall({}, new grpc.Metadata(), {}, () => {});
      const fields: grpc.Metadata[] = [];
      call.on("metadata", (head: grpc.Metadata) => fields.push(head));
      const [status] = (await once(call, "status")) as [grpc.StatusObject];
      client.close();
      fields.push(status.metadata);
      const field = (name: string): unknown => fields.flatMap((metadata) => metadata.get(name))[0];
      assert.equal(grpc.status[status.code], grpc.status[code], status.details);
      assert.match(String(field("heddle-error")), failure);
      assert.ok(status.details.startsWith(`${String(field("heddle-error")).split(" ")[0]}: `), status.details);
      assert.equal(field("heddle-hop"), hop);
    });
  }
});
