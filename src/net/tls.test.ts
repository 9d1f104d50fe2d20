import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import { after, describe, it } from "node:test";
import tls from "node:tls";

import { makeTestCa, type TestCa } from "../../test/support/identity.ts";
import { until } from "../../test/support/until.ts";
import { systemClock } from "./clock.ts";
import { acceptConnection, connect, type Connection, type ConnectionHandler, HIGH_WATER_BYTES } from "./connection.ts";
import type { Credentials } from "./credentials.ts";
import type { HandshakeError } from "./handshake-error.ts";
import { HELD_BYTES_MAX, TlsState } from "./tls-state.ts";
import { dialTls, serveTls, TlsContext, type TlsSession } from "./tls.ts";
import { VirtualClock } from "./virtual-clock.ts";

const PRICE = "spiffe://cluster.local/ns/shop/sa/price";
const CART = "spiffe://cluster.local/ns/shop/sa/cart";
const SECRET = Buffer.alloc(32, 7);
const NOTHING = Buffer.alloc(0);

const ca = await makeTestCa();
const serverCredentials = await ca.credentials(PRICE);
const clientCredentials = await ca.credentials(CART);
const server = new TlsContext(serverCredentials, SECRET);
const client = new TlsContext(clientCredentials, SECRET);
const servers: net.Server[] = [];
after(() => servers.forEach((one) => one.close()));

interface Recorded extends ConnectionHandler {
  readonly chunks: Buffer[];
  readonly events: string[];
}

function recorder(): Recorded {
  const chunks: Buffer[] = [];
  const events: string[] = [];
  return {
    chunks,
    events,
    onData: (chunk) => void chunks.push(Buffer.from(chunk)),
    onEnd: () => void events.push("end"),
    onDrain: () => void events.push("drain"),
    onClose: (error) =>
      void events.push(error === undefined ? "close" : `close ${(error as NodeJS.ErrnoException).code}`),
  };
}

function text({ chunks }: Recorded): string {
  return Buffer.concat(chunks).toString("latin1");
}

async function tcpPair(): Promise<{ near: Connection; far: Connection }> {
  const accepted = Promise.withResolvers<Connection>();
  const listener = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) =>
    accepted.resolve(acceptConnection(socket)),
  );
  servers.push(listener);
  await once(listener.listen(0, "127.0.0.1"), "listening");
  const { port } = listener.address() as net.AddressInfo;
  const connected = Promise.withResolvers<Connection>();
  connect({ address: "127.0.0.1", port, timeoutMs: 5_000 }, (error, connection) =>
    connection === undefined ? connected.reject(error) : connected.resolve(connection),
  );
  return { near: await connected.promise, far: await accepted.promise };
}

interface Outcome {
  readonly error: HandshakeError | undefined;
  readonly resumed: boolean;
}

interface PairOptions {
  readonly client?: TlsContext;
  readonly server?: TlsContext;
  readonly session?: TlsSession | undefined;
  readonly onSession?: (session: TlsSession) => void;
  /** Bytes of the ClientHello that the server has read before it begins. */
  readonly readBefore?: boolean;
}

async function handshake(options: PairOptions = {}): Promise<{
  near: Connection;
  far: Connection;
  nearOutcome: Outcome;
  farOutcome: Outcome;
}> {
  const { near, far } = await tcpPair();
  const nearDone = Promise.withResolvers<Outcome>();
  const farDone = Promise.withResolvers<Outcome>();
  dialTls(
    near,
    {
      context: options.client ?? client,
      clock: systemClock,
      protocols: ["h2"],
      serverName: "price.shop",
      session: options.session,
      onSession: options.onSession ?? (() => {}),
    },
    (error, resumed) => nearDone.resolve({ error, resumed }),
  );
  let first: Buffer = NOTHING;
  if (options.readBefore === true) {
    far.handler = { ...recorder(), onData: (chunk) => (first = Buffer.concat([first, chunk])) };
    far.resume();
    await until("the ClientHello has come", () => first.length > 0);
    far.pause();
  }
  serveTls(
    far,
    { context: options.server ?? server, clock: systemClock, protocols: ["h2", "http/1.1"], first },
    (error, resumed) => farDone.resolve({ error, resumed }),
  );
  return { near, far, nearOutcome: await nearDone.promise, farOutcome: await farDone.promise };
}

async function joined(options: PairOptions = {}): Promise<{
  near: Connection;
  far: Connection;
  fromNear: Recorded;
  fromFar: Recorded;
}> {
  const { near, far, nearOutcome, farOutcome } = await handshake(options);
  assert.deepEqual([nearOutcome.error, farOutcome.error], [undefined, undefined]);
  const fromFar = recorder();
  const fromNear = recorder();
  near.handler = fromFar;
  far.handler = fromNear;
  return { near, far, fromNear, fromFar };
}

describe("TLS between two connections", () => {
  for (const readBefore of [false, true]) {
    it(`proves both identities and carries bytes both ways${readBefore ? ", the ClientHello read before" : ""}`, async () => {
      const { near, far, fromNear, fromFar } = await joined({ readBefore });
      assert.deepEqual([near.peerIdentity, far.peerIdentity, far.sni], [PRICE, CART, "price.shop"]);
      assert.deepEqual([near.bytesRead, far.bytesRead], [0, 0]);
      near.resume();
      far.resume();
      near.write(Buffer.from("to price"));
      far.writeLatin1("to cart");
      await until("both have it", () => text(fromNear) === "to price" && text(fromFar) === "to cart");
      assert.deepEqual([near.bytesRead, near.bytesWritten, far.bytesRead, far.bytesWritten], [7, 8, 8, 7]);
      near.destroy();
      await until("the other side is closed", () => far.closed);
    });
  }

  it("half-closes each direction by itself, and closes after both", async () => {
    const { near, far, fromNear, fromFar } = await joined();
    near.resume();
    far.resume();
    near.writeLatin1("last words");
    near.end();
    await until("the end has come", () => fromNear.events.length === 1);
    assert.deepEqual([text(fromNear), fromNear.events, far.closed], ["last words", ["end"], false]);
    far.writeLatin1("the answer");
    far.end();
    await until("both are closed", () => near.closed && far.closed);
    assert.equal(text(fromFar), "the answer");
    assert.deepEqual(
      [fromNear.events, fromFar.events],
      [
        ["end", "close"],
        ["end", "close"],
      ],
    );
  });

  it("resets with RST", async () => {
    const { near, far, fromNear } = await joined();
    far.resume();
    near.reset();
    await until("the other side is closed", () => far.closed);
    assert.deepEqual([fromNear.events, near.closed], [["close ECONNRESET"], true]);
  });

  it("resets while its own end is on the way", async () => {
    const { near, far, fromNear } = await joined();
    far.resume();
    near.end();
    near.reset();
    await until("it is closed", () => near.closed);
    // Behind a FIN the kernel tells of RST only who writes.
    await until("the other side is closed", () => {
      far.writeLatin1("still there?");
      return far.closed;
    });
    assert.match(fromNear.events.join(), /^(end,)?close (ECONNRESET|EPIPE)$/);
  });

  it("sends what is unsent and closes", async () => {
    const { near, far, fromNear } = await joined();
    far.resume();
    const sent = randomBytes(100_000);
    near.write(sent);
    near.endAndDestroy();
    await until("the end has come", () => fromNear.events.includes("end"));
    assert.ok(Buffer.concat(fromNear.chunks).equals(sent));
    far.endAndDestroy();
    await until("both are closed", () => near.closed && far.closed);
  });

  it("takes an end without close_notify for a loss", async () => {
    const { near, far, fromNear } = await joined();
    far.resume();
    near.writeLatin1("half of it");
    await until("it is there", () => text(fromNear) !== "");
    // The socket below, closed as an attacker on the way would: FIN, and nothing of TLS.
    near.destroy();
    await until("the other side is closed", () => far.closed);
    assert.deepEqual(fromNear.events, ["close ECONNRESET"]);
  });

  it("keeps what was decrypted before a pause, and gives it on the next turn", async () => {
    const { near, far, fromNear } = await joined();
    const records = 20;
    // Each its own record; one read of the socket brings many of them.
    for (let i = 0; i < records; i++) {
      near.writeLatin1(String.fromCharCode(65 + i));
      near.flush();
    }
    near.end();
    let calls = 0;
    const pausing: ConnectionHandler = {
      ...fromNear,
      onData(chunk) {
        calls++;
        fromNear.onData(chunk);
        far.pause();
        const before = calls;
        setImmediate(() =>
          setImmediate(() => {
            assert.equal(calls, before, "nothing comes while it is paused");
            far.resume();
            assert.equal(calls, before, "nor from inside resume");
          }),
        );
      },
    };
    far.handler = pausing;
    far.resume();
    await until("all is there", () => fromNear.events.length > 0);
    assert.deepEqual([text(fromNear), fromNear.events], ["ABCDEFGHIJKLMNOPQRST", ["end"]]);
    near.destroy();
    far.destroy();
  });

  it("holds no more than one read brings, however much waits", async () => {
    const { near, far, fromNear } = await joined();
    const sent = randomBytes(512 * 1024);
    for (let at = 0; at < sent.length; at += 1_000) near.write(sent.subarray(at, at + 1_000));
    near.end();
    let most = 0;
    far.handler = {
      ...fromNear,
      onData(chunk) {
        far.pause();
        fromNear.onData(chunk);
        const delivered = fromNear.chunks.reduce((sum, one) => sum + one.length, 0);
        setImmediate(() =>
          setImmediate(() => {
            most = Math.max(most, far.bytesRead - delivered);
            far.resume();
          }),
        );
      },
    };
    far.resume();
    await until("all is there", () => fromNear.events.length > 0, 20_000);
    assert.ok(Buffer.concat(fromNear.chunks).equals(sent));
    assert.ok(most > 1_000 && most < HELD_BYTES_MAX, `${most} bytes were held`);
    near.destroy();
    far.destroy();
  });

  it("is closed rather than hold more", () => {
    const state = new TlsState({ readStart: () => 0, readStop: () => 0, close() {}, reset: () => 0 });
    assert.equal(state.hold(Buffer.alloc(HELD_BYTES_MAX)), true);
    assert.equal(state.hold(Buffer.alloc(1)), false);
  });

  it("holds a writer back while the peer does not read, and holds a bounded amount", async () => {
    const { near, far, fromNear, fromFar } = await joined();
    const block = randomBytes(64 * 1024);
    let written = 0;
    await until("the writer is told to wait", () => {
      written += block.length;
      return !near.write(block);
    });
    assert.ok(near.unsentBytes >= HIGH_WATER_BYTES);
    far.resume();
    await until("it may go on", () => fromFar.events.includes("drain"));
    await until("all has come", () => far.bytesRead === written, 20_000);
    assert.equal(
      fromNear.chunks.reduce((sum, chunk) => sum + chunk.length, 0),
      written,
    );
    near.destroy();
  });

  it("carries 64 MiB unchanged", async () => {
    const { near, far } = await joined();
    const block = randomBytes(48 * 1024 + 13);
    const count = Math.ceil((64 * 1024 * 1024) / block.length);
    let at = 0;
    let differs = false;
    let ended = false;
    far.handler = {
      ...recorder(),
      onData(chunk) {
        for (let i = 0; i < chunk.length;) {
          const from = at % block.length;
          const length = Math.min(chunk.length - i, block.length - from);
          differs ||= block.compare(chunk, i, i + length, from, from + length) !== 0;
          i += length;
          at += length;
        }
      },
      onEnd: () => (ended = true),
    };
    far.resume();
    let sent = 0;
    const pump = (): void => {
      while (sent < count) {
        sent++;
        if (!near.write(block)) return;
      }
      near.end();
    };
    near.handler = { ...recorder(), onDrain: pump };
    pump();
    await until("the end has come", () => ended, 60_000);
    assert.deepEqual([at, differs], [count * block.length, false]);
    near.destroy();
    far.destroy();
  });

  it("agrees on TLS 1.3, the hybrid key exchange, and the protocol inside", async () => {
    const { near, far } = await tcpPair();
    const done = Promise.withResolvers<Outcome>();
    serveTls(
      far,
      { context: server, clock: systemClock, protocols: ["h2", "http/1.1"], first: NOTHING },
      (error, resumed) => done.resolve({ error, resumed }),
    );
    const { key, chain, anchors } = clientCredentials;
    near.destroy();
    assert.equal((await done.promise).error?.reason, "closed");
    const listener = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
      const connection = acceptConnection(socket);
      serveTls(connection, { context: server, clock: systemClock, protocols: ["h2"], first: NOTHING }, () => {});
    });
    servers.push(listener);
    await once(listener.listen(0, "127.0.0.1"), "listening");
    const { port } = listener.address() as net.AddressInfo;
    const socket = tls.connect({
      port,
      key,
      cert: chain,
      ca: anchors,
      ALPNProtocols: ["h2"],
      servername: "price.shop",
      checkServerIdentity: () => undefined,
    });
    await once(socket, "secureConnect");
    assert.deepEqual([socket.getProtocol(), socket.alpnProtocol], ["TLSv1.3", "h2"]);
    const session = socket.getCipher();
    assert.equal(session.standardName, "TLS_AES_128_GCM_SHA256");
    socket.destroy();
  });
});

async function refusal(options: PairOptions): Promise<[string | undefined, string | undefined]> {
  const { nearOutcome, farOutcome, near, far } = await handshake(options);
  near.destroy();
  far.destroy();
  return [nearOutcome.error?.reason, farOutcome.error?.reason];
}

const contextOf = async (from: TestCa, over: object): Promise<TlsContext> => {
  const credentials: Credentials = await from.credentials(CART, { anchors: ca.anchors, ...over });
  return new TlsContext(credentials, SECRET);
};

describe("a TLS handshake", () => {
  const hour = 3_600_000;
  it("refuses who leads to another root", async () => {
    const other = await contextOf(await makeTestCa(), {});
    assert.equal((await refusal({ client: other }))[1], "unknown_ca");
    assert.equal((await refusal({ server: other }))[0], "unknown_ca");
  });

  it("refuses what has expired or is not valid yet", async () => {
    const expired = await contextOf(ca, { notAfter: Date.now() - 60_000 });
    assert.equal((await refusal({ client: expired }))[1], "expired");
    assert.equal((await refusal({ server: expired }))[0], "expired");
    const early = await contextOf(ca, { notBefore: Date.now() + hour / 2 });
    assert.equal((await refusal({ client: early }))[1], "not_yet_valid");
  });

  it("refuses a client without a certificate, which refuses a server of another root itself", async () => {
    const { anchors } = clientCredentials;
    const bare = new TlsContext({ anchors }, SECRET);
    const [own, theirs] = await refusal({ client: bare });
    assert.equal(theirs, "no_certificate");
    // The server has been believed, and says afterwards that it takes nobody without one (RFC 8446 §4.4.2.4).
    assert.equal(own, undefined);
    const other = await contextOf(await makeTestCa(), {});
    assert.equal((await refusal({ client: bare, server: other }))[0], "unknown_ca");
  });

  it("refuses a certificate without one SPIFFE id", async () => {
    for (const uris of [[], [CART, PRICE], ["https://cart"]]) {
      assert.equal((await refusal({ client: await contextOf(ca, { uris }) }))[1], "no_identity");
    }
  });

  it("is given up after its time, and by its caller", async () => {
    const clock = new VirtualClock();
    const { near, far } = await tcpPair();
    const done = Promise.withResolvers<Outcome>();
    serveTls(far, { context: server, clock, protocols: [], first: NOTHING }, (error, resumed) =>
      done.resolve({ error, resumed }),
    );
    clock.advance(9_999);
    assert.equal(far.closed, false);
    clock.advance(1);
    assert.equal((await done.promise).error?.reason, "timeout");
    await until("it is closed", () => far.closed);
    near.destroy();
    const again = await tcpPair();
    let calls = 0;
    const giveUp = serveTls(again.far, { context: server, clock, protocols: [], first: NOTHING }, () => calls++);
    giveUp();
    await until("it is closed", () => again.far.closed);
    clock.advance(20_000);
    assert.equal(calls, 0);
    again.near.destroy();
  });

  it("says that something else than TLS has come", async () => {
    const { near, far } = await tcpPair();
    const done = Promise.withResolvers<Outcome>();
    serveTls(
      far,
      { context: server, clock: systemClock, protocols: [], first: Buffer.from("GET / HTTP/1.1\r\n\r\n") },
      (error, resumed) => done.resolve({ error, resumed }),
    );
    assert.equal((await done.promise).error?.reason, "protocol_error");
    await until("it is closed", () => far.closed);
    near.destroy();
  });

  it("resumes a session, also with another thread's context, until the credentials change", async () => {
    const sessions: TlsSession[] = [];
    const first = await joined({ onSession: (session) => sessions.push(session) });
    first.near.resume();
    await until("there is a session", () => sessions.length > 0);
    first.near.destroy();
    const session = sessions.at(-1);
    assert.equal(session?.context, client);
    const sameKeys = new TlsContext(serverCredentials, SECRET);
    for (const context of [server, sameKeys]) {
      const { nearOutcome, farOutcome, near, far } = await handshake({ session, server: context });
      assert.deepEqual(
        [nearOutcome, farOutcome],
        [
          { error: undefined, resumed: true },
          { error: undefined, resumed: true },
        ],
      );
      assert.deepEqual([near.peerIdentity, far.peerIdentity], [PRICE, CART]);
      near.destroy();
    }
    for (const context of [
      new TlsContext(await ca.credentials(PRICE), SECRET),
      new TlsContext(serverCredentials, Buffer.alloc(32, 8)),
    ]) {
      const { nearOutcome, near } = await handshake({ session, server: context });
      assert.deepEqual(nearOutcome, { error: undefined, resumed: false });
      near.destroy();
    }
  });

  it("does not resume with whose certificate has expired meanwhile", async () => {
    const notAfter = Math.ceil(Date.now() / 1_000) * 1_000 + 1_000;
    const brief = await contextOf(ca, { notAfter });
    const sessions: TlsSession[] = [];
    const first = await joined({ client: brief, onSession: (session) => sessions.push(session) });
    first.near.resume();
    await until("there is a session", () => sessions.length > 0);
    first.near.destroy();
    await until("the certificate has expired", () => Date.now() > notAfter + 10);
    const { farOutcome, near } = await handshake({ client: brief, session: sessions.at(-1) });
    assert.equal(farOutcome.error?.reason, "expired");
    near.destroy();
  });
});
