/**
 * Flow control (RFC 9113 §5.2): how much may be sent, and who is next when not everybody can.
 *
 * Bytes that the peer's windows do not allow yet are copied and held with their stream. A stream that has room in its own
 * window waits in line for the connection's; those in line send one frame each in turn, so no stream starves another.
 */
import { copyBytes, copyCapacity, extendCopy, releaseCopy } from "../../net/blocks.ts";
import type { Connection } from "../../net/connection.ts";
import type { HeaderList } from "../exchange.ts";
import type { FrameWriter } from "./frame-writer.ts";
import { MAX_FRAME_BYTES } from "./frames.ts";
import type { HeldBytes, Holder } from "./held-bytes.ts";
import type { Http2Stream } from "./stream.ts";

/** Windows before anything is said about them. */
export const DEFAULT_WINDOW_BYTES = 65_535;

/** The largest window. A peer that opens one beyond it breaks the protocol. */
export const MAX_WINDOW_BYTES = 0x7fff_ffff;

export class SendScheduler {
  /** What the connection's window still allows. */
  window = DEFAULT_WINDOW_BYTES;
  /** Octets that the peer has added to it so far. */
  granted = 0;
  /** DATA frames sent, to compare a peer's WINDOW_UPDATE frames with. */
  framesSent = 0;
  /** Octets of memory held for all streams. */
  heldBytes = 0;
  readonly #connection: Connection;
  readonly #writer: FrameWriter;
  // Streams with held bytes and room in their own window, as a list through `nextInLine`.
  #first: Http2Stream | undefined;
  #last: Http2Stream | undefined;
  /** Streams whose producer waits for nothing but the connection's drain. */
  #undrained: Http2Stream[] = [];
  readonly #holder: Holder;
  readonly #processHeld: HeldBytes;

  /** @param holder the session, in whose name octets are held */
  constructor(connection: Connection, writer: FrameWriter, holder: Holder, processHeld: HeldBytes) {
    this.#connection = connection;
    this.#writer = writer;
    this.#holder = holder;
    this.#processHeld = processHeld;
  }

  /** Held bytes wait for nothing but the connection's window. */
  get windowIsShort(): boolean {
    return this.#first !== undefined && this.window <= 0;
  }

  /** The peer opens the connection's window. @returns false if it becomes too large */
  grant(increment: number): boolean {
    this.window += increment;
    this.granted += increment;
    return this.window <= MAX_WINDOW_BYTES;
  }

  /** Sends what may be sent and holds a copy of the rest. @returns false when the producer should wait */
  send(stream: Http2Stream, chunk: Uint8Array, end: boolean): boolean {
    const length = chunk.length;
    const allowed = stream.held === undefined ? Math.max(0, Math.min(stream.sendWindow, this.window)) : 0;
    if (length <= allowed && stream.held === undefined) {
      if (length === 0 && !end) return true;
      const open = this.#write(stream, chunk, 0, length, end);
      if (end) stream.session.localEnd(stream);
      else if (!open && !stream.awaitsWritable) {
        stream.awaitsWritable = true;
        this.#undrained.push(stream);
      }
      return open;
    }
    if (allowed > 0) this.#write(stream, chunk, 0, allowed, false);
    if (stream.held === undefined) stream.held = [];
    const taken = length > allowed ? hold(stream, allowed === 0 ? chunk : chunk.subarray(allowed)) : 0;
    stream.heldEnd = end;
    if (!end) stream.awaitsWritable = true;
    this.enqueue(stream);
    if (taken > 0) {
      this.heldBytes += taken;
      this.#processHeld.added(this.#holder, taken);
    }
    return false;
  }

  /** Trailers, after what is held. */
  sendTrailers(stream: Http2Stream, trailers: HeaderList): void {
    if (stream.held === undefined) {
      this.#writer.trailers(stream.id, trailers);
      stream.session.localEnd(stream);
      return;
    }
    stream.heldTrailers = trailers;
    this.enqueue(stream);
  }

  /** Puts a stream in line if it has something to send and may. */
  enqueue(stream: Http2Stream): void {
    if (stream.inLine || stream.closed || stream.held === undefined) return;
    if (stream.sendWindow <= 0) return;
    stream.inLine = true;
    stream.previousInLine = this.#last;
    if (this.#last === undefined) this.#first = stream;
    else this.#last.nextInLine = stream;
    this.#last = stream;
  }

  /** Sends held bytes while windows and connection take them: after any window grew, or the connection has drained. */
  pump(): void {
    // A congested connection calls `drained` later.
    while (this.#first !== undefined && !this.#connection.congested && !this.#connection.closed) {
      const stream = this.#first;
      if (this.window <= 0) return;
      this.#leaveLine(stream);
      this.#sendHeld(stream);
    }
  }

  /** The connection has sent what it had. */
  drained(): void {
    this.pump();
    const waiting = this.#undrained;
    this.#undrained = [];
    for (let i = 0; i < waiting.length; i++) {
      if (this.#connection.congested) {
        // In front of those that were added meanwhile: they have waited longer.
        this.#undrained = waiting.slice(i).concat(this.#undrained);
        return;
      }
      this.#wake(waiting[i] as Http2Stream);
    }
  }

  /** Forgets a stream that was closed, and what it has not sent. */
  drop(stream: Http2Stream): void {
    if (stream.held !== undefined) {
      stream.held.forEach(releaseCopy);
      stream.held = undefined;
      this.#released(stream, stream.heldCapacity);
    }
    stream.heldBytes = 0;
    stream.heldFrom = 0;
    stream.heldTrailers = undefined;
    if (stream.inLine) this.#leaveLine(stream);
    if (stream.awaitsWritable) this.#undrained = this.#undrained.filter((other) => other !== stream);
  }

  #leaveLine(stream: Http2Stream): void {
    const { previousInLine: previous, nextInLine: next } = stream;
    if (previous === undefined) this.#first = next;
    else previous.nextInLine = next;
    if (next === undefined) this.#last = previous;
    else next.previousInLine = previous;
    stream.previousInLine = undefined;
    stream.nextInLine = undefined;
    stream.inLine = false;
  }

  #sendHeld(stream: Http2Stream): void {
    const held = stream.held;
    if (held === undefined) return;
    const chunk = held[0] as Buffer;
    const from = stream.heldFrom;
    const count = Math.min(chunk.length - from, MAX_FRAME_BYTES, stream.sendWindow, this.window);
    // The peer has reduced its initial window meanwhile.
    if (count <= 0) return;
    const last = count === stream.heldBytes;
    stream.heldBytes -= count;
    this.#write(stream, chunk, from, from + count, last && stream.heldEnd);
    if (stream.held !== held) return;
    if (from + count === chunk.length) {
      held.shift();
      stream.heldFrom = 0;
      this.#released(stream, copyCapacity(chunk));
      releaseCopy(chunk);
    } else {
      stream.heldFrom = from + count;
    }
    if (!last) {
      this.enqueue(stream);
      return;
    }
    stream.held = undefined;
    if (stream.heldTrailers !== undefined) {
      this.#writer.trailers(stream.id, stream.heldTrailers);
      stream.heldTrailers = undefined;
      stream.session.localEnd(stream);
    } else if (stream.heldEnd) {
      stream.session.localEnd(stream);
    } else if (this.#connection.congested) {
      this.#undrained.push(stream);
    } else {
      this.#wake(stream);
    }
  }

  #released(stream: Http2Stream, octets: number): void {
    if (octets === 0) return;
    stream.heldCapacity -= octets;
    this.heldBytes -= octets;
    this.#processHeld.removed(this.#holder, octets);
  }

  #wake(stream: Http2Stream): void {
    if (stream.closed || !stream.awaitsWritable || stream.held !== undefined) return;
    stream.awaitsWritable = false;
    stream.receiver.onWritable();
  }

  #write(stream: Http2Stream, chunk: Uint8Array, from: number, to: number, end: boolean): boolean {
    stream.sendWindow -= to - from;
    this.window -= to - from;
    this.framesSent++;
    return this.#writer.data(stream.id, chunk, from, to, end);
  }
}

/** Copies bytes to the end of what a stream holds. @returns octets of memory that it takes more */
function hold(stream: Http2Stream, bytes: Uint8Array): number {
  const held = stream.held as Buffer[];
  const before = stream.heldCapacity;
  stream.heldBytes += bytes.length;
  const last = held.at(-1);
  const longer = last === undefined ? undefined : extendCopy(last, bytes);
  if (last !== undefined && longer !== undefined) {
    held[held.length - 1] = longer;
    stream.heldCapacity += copyCapacity(longer) - copyCapacity(last);
  } else {
    const copy = copyBytes(bytes);
    held.push(copy);
    stream.heldCapacity += copyCapacity(copy);
  }
  return stream.heldCapacity - before;
}
