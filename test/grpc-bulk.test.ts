import assert from "node:assert/strict";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import * as grpc from "@grpc/grpc-js";

import { connectInterop } from "./interop/cases.ts";
import { type OutputResponse, payload, type TestClient } from "./interop/protocol.ts";
import { peakResidentBytes } from "./support/resident.ts";
import { root, up, type Up } from "./support/up.ts";

const MIB = 1024 ** 2;

/** Messages of 1 MiB, well below the 4 MiB that a gRPC receiver takes by default. */
const MESSAGES = 100;

/** One message above anything that a sidecar may hold. */
const GIANT_BYTES = 128 * MIB;

/** As for large bodies of HTTP/1. */
const RESIDENT_BYTES_MAX = 150 * MIB;

describe("large gRPC streams and messages through two sidecars", () => {
  let mesh: Up;
  let sidecars: number[];
  let client: TestClient;

  before(async () => {
    mesh = await up(join(root, "test/fixtures/grpc/mesh.yaml"));
    sidecars = mesh.descendants().filter((pid) => / proxy .*--workload/.test(mesh.commandLine(pid)));
    assert.equal(sidecars.length, 2, "the keyboard's and the application's");
    client = connectInterop(mesh.outbound.slice("http://".length), "interop", {
      "grpc.max_receive_message_length": -1,
    });
  });
  after(async () => {
    client?.close();
    await mesh?.stop();
  });

  const assertSmall = (): void => {
    for (const pid of sidecars) {
      const peak = peakResidentBytes(pid);
      assert.ok(peak < RESIDENT_BYTES_MAX, `${(peak / MIB).toFixed(0)} MB in ${mesh.commandLine(pid)}`);
    }
  };

  it("100 messages of 1 MiB come down, to a reader who takes breaks", async () => {
    const call = client.streamingOutputCall({
      responseParameters: Array.from({ length: MESSAGES }, () => ({ size: MIB })),
    });
    let messages = 0;
    for await (const { payload: part } of call as AsyncIterable<OutputResponse>) {
      assert.equal(part?.body.length, MIB);
      messages++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(messages, MESSAGES);
    assertSmall();
  });

  it("100 messages of 1 MiB go up", async () => {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const call = client.streamingInputCall((error, sum) =>
      error === null ? resolve(sum?.aggregatedPayloadSize ?? 0) : reject(error),
    );
    for (let i = 0; i < MESSAGES; i++) {
      if (!call.write({ payload: payload(MIB) })) await once(call, "drain");
    }
    call.end();
    assert.equal(await promise, MESSAGES * MIB);
    assertSmall();
  });

  it("one message of 128 MiB comes down: no sidecar gathers it", async () => {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    client.unaryCall({ responseSize: GIANT_BYTES }, new grpc.Metadata(), {}, (error, value) =>
      error === null ? resolve(value?.payload?.body.length ?? 0) : reject(error),
    );
    assert.equal(await promise, GIANT_BYTES);
    assertSmall();
  });
});
