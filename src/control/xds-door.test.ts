import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { networkInterfaces } from "node:os";
import { afterEach, before, describe, it } from "node:test";
import tls from "node:tls";

import { makeTestCa, type TestCa, TestCredentials } from "../../test/support/identity.ts";
import { until } from "../../test/support/until.ts";
import { controlIdentity, spiffeId } from "../model/identity.ts";
import type { Credentials } from "../net/credentials.ts";
import { VirtualClock } from "../net/virtual-clock.ts";
import { type Caller, callerAt, ENTERING_MAX, ENTRY_TIMEOUT_MS, XdsDoor } from "./xds-door.ts";
import { recordingLogger } from "./testing/logger.ts";

const PRICE = "spiffe://cluster.local/ns/shop/sa/price";
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1");

let ca: TestCa;
let own: Credentials;
before(async () => {
  ca = await makeTestCa();
  own = await ca.credentials(spiffeId(controlIdentity("cluster.local")));
});

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).toReversed()) cleanup();
});

async function open(credentials = new TestCredentials(own), host = "127.0.0.1") {
  const clock = new VirtualClock();
  const refused: string[] = [];
  const callers: Caller[] = [];
  const heard: Buffer[] = [];
  const { logger, lines } = recordingLogger();
  const door = new XdsDoor({
    credentials,
    trustDomain: "cluster.local",
    insecure: false,
    clock,
    logger,
    onRefused: (reason, detail) => refused.push(`${reason}: ${detail}`),
    onInside: (socket) => {
      callers.push(callerAt(socket));
      socket.on("data", (chunk: Buffer) => heard.push(chunk));
      socket.on("error", () => {});
    },
  });
  const server = net.createServer((socket) => door.enter(socket));
  server.listen(0, host);
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  cleanups.push(() => {
    door.close();
    server.close();
  });
  return { door, clock, refused, callers, lines, port, heard: () => Buffer.concat(heard) };
}

function dial(port: number): net.Socket {
  const socket = net.connect(port, "127.0.0.1");
  socket.on("error", () => {}).resume();
  cleanups.push(() => socket.destroy());
  return socket;
}

async function dialTls(port: number, as?: Credentials): Promise<tls.TLSSocket> {
  const { key, chain: cert } = as ?? { key: undefined, chain: undefined };
  const options = {
    port,
    host: "127.0.0.1",
    ca: ca.anchors,
    ALPNProtocols: ["h2"],
    checkServerIdentity: () => undefined,
  };
  const socket = tls.connect({ ...options, ...(key !== undefined && { key, cert }) });
  cleanups.push(() => socket.destroy());
  await once(socket, "secureConnect");
  return socket;
}

describe("the door of the xDS port", () => {
  it("lets plain connections of this host in, however their first octets come", async () => {
    const { port, callers, heard, door, clock } = await open();
    const socket = dial(port);
    socket.setNoDelay(true);
    await once(socket, "connect");
    for (const [index, octet] of PREFACE.entries()) {
      socket.write(Buffer.of(octet));
      await until("the octet arrived", () => heard().length === index + 1);
    }
    assert.deepEqual(heard(), PREFACE);
    assert.deepEqual(callers, [{ kind: "plain" }]);
    assert.equal(door.entering, 0);
    assert.equal(clock.pending, 0);
  });

  const noIpv6 = !Object.values(networkInterfaces()).some((list) => list?.some(({ family }) => family === "IPv6"));
  it("takes an IPv4 address of this host for one, in the form that IPv6 has for it", { skip: noIpv6 }, async () => {
    const { port, callers } = await open(new TestCredentials(own), "::");
    const socket = dial(port);
    socket.write(PREFACE);
    await until("it is inside", () => callers.length === 1);
  });

  it("knows who comes in TLS, and loses nothing that comes with the handshake's end", async () => {
    const { port, callers, heard } = await open();
    const price = await ca.credentials(PRICE);
    (await dialTls(port, price)).write(PREFACE);
    await until("the preface", () => heard().equals(PREFACE));
    const [caller] = callers;
    assert.equal(caller?.kind, "workload");
    assert.deepEqual(caller.identity, { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "price" });
    assert.ok(Math.abs(caller.notAfter - price.notAfter) < 1_000);
  });

  it("knows who has no certificate, and who has one of somebody else", async () => {
    const { port, callers } = await open();
    await dialTls(port);
    await dialTls(port, await (await makeTestCa()).credentials(PRICE));
    await until("both are inside", () => callers.length === 2);
    const reasons = callers.map((caller) => (caller.kind === "stranger" ? caller.reason : caller.kind));
    assert.deepEqual(reasons, ["no_certificate", "bad_certificate"]);
  });

  it("resumes no session of somebody without a certificate as one of a workload", async () => {
    const { port, callers } = await open();
    const first = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: ["h2"] });
    cleanups.push(() => first.destroy());
    const [session] = (await once(first, "session")) as [Buffer];
    const again = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: ["h2"], session });
    cleanups.push(() => again.destroy());
    await once(again, "secureConnect");
    await until("both are inside", () => callers.length === 2);
    assert.ok(again.isSessionReused());
    assert.ok(callers.every((caller) => caller.kind === "stranger" && caller.reason === "no_certificate"));
  });

  it("shows each connection its newest certificate, and keeps the old one when a new one is broken", async () => {
    const credentials = new TestCredentials(own);
    const { port, lines } = await open(credentials);
    const serial = async (): Promise<string | undefined> => {
      return (await dialTls(port)).getPeerX509Certificate()?.serialNumber;
    };
    const first = await serial();
    const next = await ca.credentials(own.identity);
    credentials.replace(next);
    const second = await serial();
    assert.notEqual(second, first);
    credentials.replace({ ...next, chain: "broken" });
    assert.equal(await serial(), second);
    assert.ok(lines.some((line) => /cannot be used; the one before stays/.test(line)));
    assert.ok(!lines.join("").includes("PRIVATE KEY"));
  });

  it("closes who says nothing, or begins a handshake and stops", async () => {
    const { port, clock, refused, door } = await open();
    const silent = dial(port);
    const half = dial(port);
    half.write(Buffer.of(0x16, 0x03, 0x01, 0x02, 0x00, 0x01));
    await until("both have come", () => door.entering === 2);
    clock.advance(ENTRY_TIMEOUT_MS - 1);
    assert.deepEqual(refused, []);
    clock.advance(1);
    await Promise.all([once(silent, "close"), once(half, "close")]);
    assert.deepEqual(refused, ["silent: not done after 10 s", "silent: not done after 10 s"]);
    assert.deepEqual([door.entering, clock.pending], [0, 0]);
  });

  it("closes who ends before a word, and who speaks broken TLS", async () => {
    const { port, refused, door, clock } = await open();
    const ended = dial(port);
    ended.end();
    await once(ended, "close");
    const broken = dial(port);
    broken.write(Buffer.of(0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff));
    await once(broken, "close");
    await until("all is settled", () => door.entering === 0 && clock.pending === 0);
    assert.equal(refused.length, 1);
    assert.match(refused[0] ?? "", /^handshake: broken TLS/);
  });

  it("has room for so many that are about to come in; the oldest makes room for one more", async () => {
    const { port, refused, door, callers } = await open();
    const [oldest] = await flood(port, 1, door);
    await flood(port, ENTERING_MAX - 1, door);
    assert.equal(door.entering, ENTERING_MAX);
    assert.deepEqual(refused, []);
    const honest = dial(port);
    honest.write(PREFACE);
    assert.ok(oldest);
    if (!oldest.destroyed) await once(oldest, "close");
    await until("it is inside", () => callers.length === 1);
    assert.equal(refused.length, 1);
    assert.match(refused[0] ?? "", /^full: more than 1000/);
  });

  it("lets nobody in by TLS as long as it has no certificate", async () => {
    const { port, callers } = await open(new TestCredentials(undefined));
    const socket = dial(port);
    socket.write(Buffer.of(0x16));
    await once(socket, "close");
    assert.deepEqual(callers, []);
  });

  it("leaves nothing behind", async () => {
    const { port, door, clock } = await open();
    const socket = dial(port);
    await until("it has come", () => door.entering === 1);
    door.close();
    await once(socket, "close");
    assert.equal(clock.pending, 0);
  });
});

/** So many more that say nothing. */
async function flood(port: number, count: number, door: XdsDoor): Promise<net.Socket[]> {
  const wanted = door.entering + count;
  const sockets = Array.from({ length: count }, () => dial(port));
  await until("they have come", () => door.entering === wanted, 20_000);
  return sockets;
}
