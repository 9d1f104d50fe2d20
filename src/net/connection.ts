/**
 * One byte stream with back-pressure in both directions: what every codec of the data path reads from and writes to.
 *
 * Reads arrive in one buffer that all connections of the process share, so a chunk is only valid during `onData`:
 * consume it or copy it. Writes are copied into a pooled block and leave together, once per turn of the event loop,
 * so that a head and its body, or many HTTP/2 frames, cost one system call.
 */
import net from "node:net";

import { holdTime, releaseTime } from "./clock.ts";
import { acquireBlock, LARGE_BLOCK_BYTES, releaseBlock, SMALL_BLOCK_BYTES } from "./blocks.ts";
import { type TcpHandle, TlsState } from "./tls-state.ts";

/** Unsent bytes above which a writer is told to wait (`write` answers false). */
export const HIGH_WATER_BYTES = 256 * 1024;

/** Unsent bytes down to which the kernel must have taken them before a writer that waits goes on. */
const LOW_WATER_BYTES = 64 * 1024;

/** Milliseconds of silence after which the kernel asks whether the peer is still there. Linkerd: 10,000. */
const KEEP_ALIVE_MS = 10_000;

const READ_BUFFER_BYTES = 64 * 1024;
const sharedReadBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);

/** Reads up to this size get their chunk from {@link shortChunks}: most heads and small bodies. */
const SHORT_CHUNK_BYTES = 2 * 1024;
/** The first n bytes of the shared buffer, by n: the same few lengths come again and again, and a view costs 100 ns. */
const shortChunks: (Buffer | undefined)[] = Array.from({ length: SHORT_CHUNK_BYTES + 1 }, () => undefined);

function firstBytes(length: number, buffer: Buffer): Buffer {
  if (length > SHORT_CHUNK_BYTES || buffer !== sharedReadBuffer) return buffer.subarray(0, length);
  return (shortChunks[length] ??= buffer.subarray(0, length));
}

/** Receives what happens on a connection. Calls never overlap; after `onClose` none follows. */
export interface ConnectionHandler {
  /** Bytes from the peer, valid only during this call. */
  onData(chunk: Buffer): void;
  /** The peer sent FIN: no more data; our half is still open. */
  onEnd(): void;
  /** The unsent bytes have left after `write` answered false. */
  onDrain(): void;
  /** The connection is gone, for whatever reason. Called exactly once. */
  onClose(error: Error | undefined): void;
}

/** Used until a codec takes over: bytes wait in the kernel because the connection is created paused. */
const silent: ConnectionHandler = {
  onData() {},
  onEnd() {},
  onDrain() {},
  onClose() {},
};

export class Connection {
  /** May be replaced at any time, for instance when detection has found the protocol. */
  handler: ConnectionHandler = silent;
  /** Bytes received from the peer so far. */
  bytesRead = 0;
  /** Bytes handed to `write` so far. */
  bytesWritten = 0;
  closed = false;
  /** For whoever keeps account of connections, beside the handler: called once, before the handler's `onClose`. */
  whenClosed: ((error: Error | undefined) => void) | undefined;
  /** FIN was asked for with `end`. */
  ended = false;
  /** The SPIFFE id that the peer has proved by TLS, "" if it has proved none. */
  peerIdentity = "";
  /** The server name that the peer has asked for by TLS, whether that was for us or is the application's; else "". */
  sni = "";

  #socket: net.Socket;
  /** Once there is TLS between this and the socket. */
  #tls: TlsState | undefined;
  readonly #unix: boolean;
  #block: Buffer | undefined;
  #used = 0;
  /** What the kernel has not taken in whole yet, oldest first. */
  readonly #unsent: Unsent[] = [];
  #unsentBytes = 0;
  /** A block is being handed to the kernel. */
  #sending = false;
  /** The kernel took it whole. */
  #takenAtOnce = false;
  #dirty = false;
  /** To be closed once everything is sent. */
  #closing = false;
  #waiting = false;
  #error: Error | undefined;

  /** @internal Use {@link acceptConnection} or {@link connect}. */
  constructor(socket: net.Socket, unix = false) {
    this.#socket = socket;
    this.#unix = unix;
    this.#listen(socket);
  }

  /** "" once the connection is closed, if nobody has asked before: most never are asked, and each answer is a system call. */
  get remoteAddress(): string {
    return this.#socket.remoteAddress ?? "";
  }

  /** 0 as {@link remoteAddress} is "". */
  get remotePort(): number {
    return this.#socket.remotePort ?? 0;
  }

  /** Where the peer has connected to; "" as {@link remoteAddress} is. */
  get localAddress(): string {
    return this.#socket.localAddress ?? "";
  }

  /** The number by which the system knows the socket; -1 once it is closed. */
  get descriptor(): number {
    return (this.#socket as HandledSocket)._handle?.fd ?? -1;
  }

  /** Bytes accepted by `write` that the kernel has not taken yet. */
  get unsentBytes(): number {
    return this.#used + this.#unsentBytes;
  }

  /** True while a writer should wait for `onDrain`. */
  get congested(): boolean {
    return this.#used + this.#unsentBytes >= HIGH_WATER_BYTES;
  }

  /** @internal Called by the socket's read callback. */
  received(length: number, buffer: Buffer): void {
    this.bytesRead += length;
    if (this.#tls?.paused === true) {
      if (!this.#tls.hold(firstBytes(length, buffer)))
        this.destroy(new Error("more came while it was paused than may"));
      return;
    }
    holdTime();
    this.handler.onData(firstBytes(length, buffer));
    releaseTime();
  }

  /**
   * Copies bytes towards the peer; they leave at the end of this turn of the event loop.
   *
   * @returns false when the caller should wait for `onDrain`; the bytes are accepted all the same.
   */
  write(bytes: Uint8Array): boolean {
    if (this.closed || this.ended) return true;
    const length = bytes.length;
    this.bytesWritten += length;
    let from = 0;
    while (from < length) {
      const block = this.#room(length - from >= SMALL_BLOCK_BYTES ? LARGE_BLOCK_BYTES : 1);
      const count = Math.min(block.length - this.#used, length - from);
      block.set(count === length ? bytes : bytes.subarray(from, from + count), this.#used);
      this.#used += count;
      from += count;
    }
    return this.#accepted();
  }

  /** Writes a string of characters below U+0100, one byte each. At most {@link LARGE_BLOCK_BYTES} long. */
  writeLatin1(text: string): boolean {
    if (this.closed || this.ended) return true;
    const block = this.#room(text.length);
    block.write(text, this.#used, "latin1");
    this.#used += text.length;
    this.bytesWritten += text.length;
    return this.#accepted();
  }

  /**
   * Room for `length` contiguous bytes (at most {@link LARGE_BLOCK_BYTES}) in the outgoing block, to be encoded in place:
   * write them from `block[offset]` on and then call {@link commit}. Nothing else may be written in between.
   */
  reserve(length: number): { readonly block: Buffer; readonly offset: number } {
    reservation.block = this.#room(length);
    reservation.offset = this.#used;
    return reservation;
  }

  /** Sends the first `length` bytes of what {@link reserve} gave. */
  commit(length: number): boolean {
    if (this.closed || this.ended) return true;
    this.#used += length;
    this.bytesWritten += length;
    return this.#accepted();
  }

  /** Hands all unsent bytes to the kernel now instead of at the end of the turn. */
  flush(): void {
    this.#dirty = false;
    const block = this.#block;
    if (block === undefined) return;
    const used = this.#used;
    this.#block = undefined;
    this.#used = 0;
    if (used === 0 || this.#socket.destroyed) {
      releaseBlock(block);
      return;
    }
    this.#send(block, used);
  }

  /** Stops reading: the peer is held back by the kernel's receive window. Idempotent. */
  pause(): void {
    if (this.closed) return;
    if (this.#tls !== undefined) this.#tls.paused = true;
    this.#socket.pause();
  }

  /** Reads again. Idempotent. */
  resume(): void {
    if (this.closed) return;
    const tls = this.#tls;
    if (tls !== undefined) {
      tls.paused = false;
      if (tls.holds) {
        tls.deliverLater(() => this.#deliverHeld(tls));
        return;
      }
    }
    this.#socket.resume();
  }

  /**
   * @internal Puts TLS between this connection and its socket: from now on the bytes of this connection are those inside
   * of TLS, and are counted anew. Only for TCP, while it is paused and nothing is unsent. See `tls.ts`.
   *
   * @param wrap makes the socket that does TLS over the handle of this one, and reads by `onread`
   */
  startTls<S extends net.Socket>(wrap: (handle: TcpHandle, onread: net.OnReadOpts) => S): S {
    const handle = (this.#socket as unknown as { readonly _handle: TcpHandle })._handle;
    const socket = wrap(
      handle,
      onreadOf(() => this),
    );
    this.#tls = new TlsState(handle);
    this.#socket = socket;
    this.bytesRead = 0;
    this.bytesWritten = 0;
    this.#listen(socket);
    return socket;
  }

  /** Sends what is unsent, then FIN; reading goes on. */
  end(): void {
    if (this.closed || this.ended) return;
    this.flush();
    this.ended = true;
    this.#endIfSent();
  }

  /** Closes at once; unsent bytes are lost. */
  destroy(error?: Error): void {
    if (error !== undefined) this.#error ??= error;
    this.#socket.destroy();
  }

  /**
   * Closes at once with RST, so that the peer cannot take a cut message for a whole one. A Unix socket has no RST: there
   * its end is all that the peer sees.
   */
  reset(): void {
    if (this.closed) return;
    const socket = this.#socket;
    if (this.#unix) {
      socket.destroy();
    } else if (!socket.writableEnded || socket.writableFinished) {
      this.#resetNow();
    } else {
      // While a FIN is on its way, libuv refuses to reset (EINVAL), and Node would leave the handle open for good.
      this.pause();
      socket.once("finish", () => {
        if (!socket.destroyed) this.#resetNow();
      });
    }
  }

  /** Closes after what is unsent has left, without waiting for the peer's FIN. */
  endAndDestroy(): void {
    if (this.closed) return;
    this.flush();
    this.ended = true;
    this.#closing = true;
    this.#endIfSent();
  }

  #room(length: number): Buffer {
    let block = this.#block;
    if (block !== undefined && block.length - this.#used >= length) return block;
    if (block !== undefined) this.flush();
    block = acquireBlock(length);
    this.#block = block;
    return block;
  }

  #accepted(): boolean {
    if (!this.#dirty) {
      this.#dirty = true;
      flushLater(this);
    }
    if (!this.congested) return true;
    this.flush();
    if (this.#unsentBytes < HIGH_WATER_BYTES) return true;
    this.#waiting = true;
    return false;
  }

  /**
   * Hands a block to the kernel by the method that `net.Socket` implements for streams, without the stream's own queue
   * before it: blocks and bytes are counted here already, and the queue cost 5 % of a proxied request. libuv tries each
   * write at once and keeps what the kernel does not take, in order.
   */
  #send(block: Buffer, used: number): void {
    if (this.#tls !== undefined) {
      this.#unsent.push({ block, used });
      this.#unsentBytes += used;
      if (this.#unsent.length === 1) this.#sendOldest();
      return;
    }
    this.#takenAtOnce = false;
    this.#sending = true;
    this.#socket._write(used === block.length ? block : block.subarray(0, used), BYTES, this.#sent);
    this.#sending = false;
    if (this.#takenAtOnce) {
      releaseBlock(block);
      return;
    }
    this.#unsent.push({ block, used });
    this.#unsentBytes += used;
  }

  /** The oldest unsent block has left, or never will. One function per connection, not one per write. */
  readonly #sent = (error?: Error | null): void => {
    if (error) {
      // Blocks that a write may still be reading are not given back.
      this.#socket.destroy(error);
      return;
    }
    const sent = this.#unsent.length === 0 ? undefined : this.#unsent.shift();
    if (sent === undefined) {
      this.#takenAtOnce = this.#sending;
      return;
    }
    this.#unsentBytes -= sent.used;
    releaseBlock(sent.block);
    if (this.#tls !== undefined && this.#unsent.length > 0) this.#sendOldest();
    if (this.ended) this.#endIfSent();
    if (!this.#waiting || this.#unsentBytes > LOW_WATER_BYTES || this.closed) return;
    this.#waiting = false;
    this.handler.onDrain();
  };

  /** Node takes no second write of TLS while one is under way, and ends the process at one. */
  #sendOldest(): void {
    const { block, used } = this.#unsent[0] as Unsent;
    this.#socket._write(used === block.length ? block : block.subarray(0, used), BYTES, this.#sent);
  }

  /** Not before: once FIN is asked for, a connection whose peer does not read could not be reset any more. */
  #endIfSent(): void {
    if (this.#unsent.length > 0) return;
    if (this.#closing) this.#socket.destroySoon();
    else this.#socket.end();
  }

  #listen(socket: net.Socket): void {
    // The first error tells the cause; what follows it (EPIPE after ECONNRESET) does not.
    socket.on("error", (error) => (this.#error ??= error));
    socket.on("end", () => this.#peerEnded());
    socket.on("close", () => {
      // Not that of a socket which TLS has been put over.
      if (socket === this.#socket) this.#closed();
    });
  }

  #peerEnded(): void {
    const tls = this.#tls;
    if (tls === undefined) this.handler.onEnd();
    else if (tls.isCut())
      this.destroy(Object.assign(new Error("TLS ended without close_notify"), { code: "ECONNRESET" }));
    else if (tls.paused || tls.holds) tls.ended = true;
    else this.handler.onEnd();
  }

  #deliverHeld(tls: TlsState): void {
    if (this.closed || tls.paused) return;
    const held = tls.take();
    if (held.length > 0) {
      holdTime();
      this.handler.onData(held);
      releaseTime();
    }
    // That call may have closed or paused it.
    if (this.closed || tls.paused) return;
    if (tls.ended) {
      tls.ended = false;
      this.handler.onEnd();
    } else {
      this.#socket.resume();
    }
  }

  #resetNow(): void {
    if (this.#tls === undefined) {
      this.#socket.resetAndDestroy();
    } else {
      this.#tls.closeByReset();
      this.#socket.destroy();
    }
  }

  #closed(): void {
    this.closed = true;
    // Not given back: a write that was under way may still read them.
    this.#unsent.length = 0;
    this.#unsentBytes = 0;
    if (this.#block !== undefined) {
      releaseBlock(this.#block);
      this.#block = undefined;
      this.#used = 0;
    }
    this.whenClosed?.(this.#error);
    this.handler.onClose(this.#error);
  }
}

/** What a stream calls bytes that are not text; the types know encodings of text only. */
const BYTES = "buffer" as string as BufferEncoding;

/** A block whose first `used` bytes were given to the kernel. */
interface Unsent {
  readonly block: Buffer;
  readonly used: number;
}

/** The one result object of `reserve`: a reservation never outlives the next call. */
const reservation: { block: Buffer; offset: number } = { block: Buffer.alloc(0), offset: 0 };

let dirty: Connection[] = [];
let flushing: Connection[] = [];

function flushLater(connection: Connection): void {
  if (dirty.push(connection) === 1) setImmediate(flushAll);
}

function flushAll(): void {
  const connections = dirty;
  dirty = flushing;
  flushing = connections;
  for (const connection of connections) connection.flush();
  connections.length = 0;
}

/** How a socket reads into the shared buffer. */
function onreadOf(connection: () => Connection | undefined): net.OnReadOpts {
  return {
    buffer: sharedReadBuffer,
    callback: (length: number) => {
      connection()?.received(length, sharedReadBuffer);
      return true;
    },
  };
}
/** A socket with its undocumented handle: Node has no other way to its descriptor. */
type HandledSocket = net.Socket & { readonly _handle?: { readonly fd?: number } | null };

/** A socket with the undocumented handle that `net.Server` accepted it with, typed as what the constructor takes. */
type AcceptedSocket = net.Socket & { readonly _handle: net.BoundSocket };

/**
 * Takes over a socket from a `net.Server` that was made with `{ pauseOnConnect: true, allowHalfOpen: true }`.
 *
 * Accepted sockets have no `onread` option, so a second socket is laid over the same handle: reading into the shared
 * buffer costs a quarter less per request than 'data' events (measured on Node 26.10).
 */
export function acceptConnection(accepted: net.Socket): Connection {
  let connection: Connection | undefined;
  const options = {
    handle: (accepted as AcceptedSocket)._handle,
    allowHalfOpen: true,
    manualStart: true,
    onread: onreadOf(() => connection),
  };
  const socket = new net.Socket(options);
  tune(socket);
  connection = new Connection(socket);
  return connection;
}

/** Small writes leave at once, since they are gathered already; a peer that has vanished is noticed. */
function tune(socket: net.Socket): void {
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
}

/** Milliseconds until a Unix socket whose queue is full is tried again: the kernel does not tell when it has room. */
const FULL_QUEUE_RETRY_MS = 5;

/** Where to connect to, and how long it may take. */
export interface ConnectOptions {
  readonly address: string;
  readonly port: number;
  /** A Unix socket, instead of `address` and `port`. */
  readonly path?: string | undefined;
  /** Milliseconds until `onClose` is called with ETIMEDOUT. Linkerd: 1,000 outbound, 300 inbound. */
  readonly timeoutMs: number;
}

/**
 * Opens a TCP connection, or one to a Unix socket. `done` is called exactly once: with the connection, which is paused
 * until `resume`, or with the error.
 *
 * @returns a function that gives up the attempt; `done` is then not called.
 */
export function connect(
  options: ConnectOptions,
  done: (error: Error | undefined, connection: Connection | undefined) => void,
): () => void {
  let connection: Connection | undefined;
  let settled = false;
  const { address, port, path, timeoutMs } = options;
  const onread = onreadOf(() => connection);
  let socket: net.Socket;
  const timer = setTimeout(() => {
    const where = path ?? `${address}:${port}`;
    fail(Object.assign(new Error(`connect ETIMEDOUT ${where} after ${timeoutMs} ms`), { code: "ETIMEDOUT" }));
  }, timeoutMs);
  const fail = (error: NodeJS.ErrnoException): void => {
    if (settled) return;
    if (error.code === "EAGAIN" && path !== undefined) {
      setTimeout(attempt, FULL_QUEUE_RETRY_MS);
      return;
    }
    settled = true;
    clearTimeout(timer);
    socket.destroy();
    done(error, undefined);
  };
  const attempt = (): void => {
    if (settled) return;
    socket = net.connect({ ...(path === undefined ? { host: address, port } : { path }), allowHalfOpen: true, onread });
    socket.pause();
    socket.once("error", fail);
    socket.once("connect", () => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      socket.off("error", fail);
      tune(socket);
      connection = new Connection(socket, path !== undefined);
      done(undefined, connection);
    });
  };
  attempt();
  return () => {
    if (settled) return;
    settled = true;
    clearTimeout(timer);
    socket.on("error", () => {});
    socket.destroy();
  };
}
