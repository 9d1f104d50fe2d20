import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { describe, it, type TestContext } from "node:test";

import { until } from "../../../../test/support/until.ts";
import { here, Relay, RELAYED_MAX } from "./relay.ts";

const ANY = { host: "127.0.0.1", port: 0 };

interface Ends {
  readonly dial: () => Socket;
  /** The far ends, in the order in which they came. */
  readonly far: readonly Socket[];
}

async function relayed(context: TestContext): Promise<Ends> {
  const far: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    far.push(socket.on("error", () => {}));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const target = { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
  let port = 0;
  const from = {
    ...here,
    listen: (listener: Parameters<typeof here.listen>[0], address: Parameters<typeof here.listen>[1]) => {
      here.listen(listener, address);
      listener.once("listening", () => (port = (listener.address() as AddressInfo).port));
    },
  };
  const relay = await Relay.open(from, ANY, here, target);
  const near: Socket[] = [];
  context.after(() => {
    relay.close();
    server.close();
    for (const socket of [...near, ...far]) socket.destroy();
  });
  const dial = (): Socket => {
    const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true }).on("error", () => {});
    near.push(socket);
    return socket;
  };
  return { dial, far };
}

describe("a relay", () => {
  it("passes bytes both ways, and each end by itself", async (context) => {
    const { dial, far } = await relayed(context);
    const near = dial();
    near.end("question");
    await until("the far end is there", () => far.length === 1);
    const [question] = (await once(far[0] as Socket, "data")) as [Buffer];
    assert.equal(question.toString(), "question");
    await until("it has heard the end", () => (far[0] as Socket).readableEnded);
    (far[0] as Socket).end("answer");
    const [answer] = (await once(near, "data")) as [Buffer];
    assert.equal(answer.toString(), "answer");
    await once(near, "close");
  });

  it("resets one side when the other was reset, so that a cut does not look like an end", async (context) => {
    const { dial, far } = await relayed(context);
    const near = dial();
    await until("the far end is there", () => far.length === 1);
    (far[0] as Socket).resetAndDestroy();
    const [error] = (await once(near, "error")) as [NodeJS.ErrnoException];
    assert.equal(error.code, "ECONNRESET");
  });

  it(`has at most ${RELAYED_MAX} connections at once`, async (context) => {
    const { dial, far } = await relayed(context);
    for (let i = 0; i < RELAYED_MAX; i++) dial();
    await until("all are relayed", () => far.length === RELAYED_MAX, 20_000);
    const oneMore = dial().resume();
    await once(oneMore, "end");
    assert.equal(far.length, RELAYED_MAX);
  });
});
