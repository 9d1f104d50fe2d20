/**
 * Looks at a connection once a minute for what stands still.
 *
 * Silence alone is no fault: a gRPC stream may say nothing for hours, and a peer that has vanished is found out by TCP's
 * keep-alive. A stream is only given up where something is owed on it and does not come: we hold octets and the peer
 * opens no window, or the peer has announced content and does not send it, while we would read. What is owed must come at
 * least so fast that a peer cannot tie things up with single octets. The same holds for the connection: its window, and the
 * kernel's.
 *
 * Five minutes are Envoy's `stream_idle_timeout`, which also cuts streams that owe nothing. nginx waits 60 s between two
 * reads or writes (`client_body_timeout`, `send_timeout`); that is too short for readers in a mesh which work on each
 * message, and memory is bounded without it (`held-bytes.ts`). An hour without a stream is Envoy's `idle_timeout`.
 */
import type { Clock, Timer } from "../../net/clock.ts";
import type { Connection } from "../../net/connection.ts";
import type { ClosedStreams } from "./closed-streams.ts";
import type { SendScheduler } from "./flow-control.ts";
import type { StreamTable } from "./stream-table.ts";
import type { Http2Stream } from "./stream.ts";

/** Milliseconds between two looks. */
export const PATROL_MS = 60_000;

/** Octets that must move between two looks where some are owed. */
export const OWED_BYTES_MIN = 1_024;

/** Looks in a row without that, after which a stream or a connection is given up: 5 minutes. */
export const STALLED_PATROLS = 5;

/** Looks in a row without a stream after which a client is asked to leave: an hour. */
export const IDLE_PATROLS = 60;

/** The session under watch. */
export interface Patrolled {
  /** Whether the peer is late with content that it has announced, rather than we with reading it. */
  owesContent(stream: Http2Stream): boolean;
  giveUpStream(stream: Http2Stream, detail: string): void;
  giveUpConnection(detail: string): void;
  /** Nobody has asked for anything for long. */
  idle(): void;
}

/** What was seen of a stream at the last look. */
interface Sight {
  readonly held: unknown;
  readonly heldBytes: number;
  readonly receivedBytes: number;
  readonly strikes: number;
}

export class Patrol {
  readonly #clock: Clock;
  readonly #session: Patrolled;
  readonly #connection: Connection;
  readonly #scheduler: SendScheduler;
  readonly #streams: StreamTable<Http2Stream>;
  readonly #closedStreams: ClosedStreams;
  #timer: Timer;
  #sights = new Map<Http2Stream, Sight>();
  #closed = 0;
  #idle = 0;
  /** Octets that the kernel has taken, and that the peer has added to the connection's window, or -1 if nothing waits. */
  #taken = -1;
  #granted = -1;
  #connectionStrikes = 0;

  constructor(
    clock: Clock,
    session: Patrolled,
    connection: Connection,
    scheduler: SendScheduler,
    streams: StreamTable<Http2Stream>,
    closedStreams: ClosedStreams,
  ) {
    this.#clock = clock;
    this.#session = session;
    this.#connection = connection;
    this.#scheduler = scheduler;
    this.#streams = streams;
    this.#closedStreams = closedStreams;
    this.#timer = this.#next();
  }

  stop(): void {
    this.#timer.cancel();
    this.#sights.clear();
  }

  #next(): Timer {
    return this.#clock.after(PATROL_MS, () => {
      this.#timer = this.#next();
      this.#look();
    });
  }

  #look(): void {
    const session = this.#session;
    const { count } = this.#closedStreams;
    this.#idle = this.#streams.size === 0 && count === this.#closed ? this.#idle + 1 : 0;
    this.#closed = count;
    if (this.#idle >= IDLE_PATROLS) return session.idle();
    this.#connectionStrikes = this.#connectionStands() ? this.#connectionStrikes + 1 : 0;
    if (this.#connectionStrikes >= STALLED_PATROLS) {
      return session.giveUpConnection("the peer has taken next to nothing of what it asked for");
    }
    const sights = new Map<Http2Stream, Sight>();
    for (const stream of this.#streams.all()) this.#lookAt(stream, sights);
    this.#sights = sights;
  }

  /** Something has waited for the whole time, and next to nothing was taken. */
  #connectionStands(): boolean {
    const { congested, bytesWritten, unsentBytes } = this.#connection;
    const { windowIsShort, granted } = this.#scheduler;
    const taken = congested ? bytesWritten - unsentBytes : -1;
    const added = windowIsShort ? granted : -1;
    const stands =
      (congested && this.#taken >= 0 && taken - this.#taken < OWED_BYTES_MIN) ||
      (windowIsShort && this.#granted >= 0 && added - this.#granted < OWED_BYTES_MIN);
    this.#taken = taken;
    this.#granted = added;
    return stands;
  }

  #lookAt(stream: Http2Stream, sights: Map<Http2Stream, Sight>): void {
    if (stream.closed) return;
    // One in line waits for the connection, not for a window of its own.
    const holds = stream.held !== undefined && !stream.inLine;
    const owesContent = this.#session.owesContent(stream);
    if (!holds && !owesContent) return;
    const { held, heldBytes, receivedBytes } = stream;
    const last = this.#sights.get(stream);
    let strikes = 0;
    if (last !== undefined) {
      const takes = !holds || held !== last.held || last.heldBytes - heldBytes >= OWED_BYTES_MIN;
      const sends = !owesContent || receivedBytes - last.receivedBytes >= OWED_BYTES_MIN;
      if (!takes || !sends) strikes = last.strikes + 1;
      if (strikes >= STALLED_PATROLS) {
        const what = takes ? "sent no more of the content that it announced" : "opened no window for what it asked for";
        return this.#session.giveUpStream(stream, `the peer has ${what} for ${(strikes * PATROL_MS) / 1_000} s`);
      }
    }
    sights.set(stream, { held, heldBytes, receivedBytes, strikes });
  }
}
