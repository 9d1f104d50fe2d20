/** Looks at a connection once a minute for what stands still (`standstill.ts`), and for whether anybody still needs it. */
import type { Clock, Timer } from "../../net/clock.ts";
import type { Connection } from "../../net/connection.ts";
import { LOOK_MS, OWED_BYTES_MIN, Standstill, STANDSTILLS_MAX } from "../standstill.ts";
import type { ClosedStreams } from "./closed-streams.ts";
import type { SendScheduler } from "./flow-control.ts";
import type { StreamTable } from "./stream-table.ts";
import type { Http2Stream } from "./stream.ts";

/** Looks in a row without a stream after which a client is asked to leave: an hour, as Envoy's `idle_timeout`. */
export const IDLE_LOOKS_MAX = 60;

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
  readonly standstills: number;
}

const NOTHING_SEEN: ReadonlyMap<Http2Stream, Sight> = new Map();

export class Patrol {
  readonly #clock: Clock;
  readonly #session: Patrolled;
  readonly #connection: Connection;
  readonly #scheduler: SendScheduler;
  readonly #streams: StreamTable<Http2Stream>;
  readonly #closedStreams: ClosedStreams;
  #timer: Timer;
  #sights = NOTHING_SEEN;
  /** Of the socket, and of the connection's window. */
  readonly #socket = new Standstill();
  readonly #window = new Standstill();
  #closed = 0;
  #idle = 0;

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
    this.#sights = NOTHING_SEEN;
  }

  #next(): Timer {
    return this.#clock.after(LOOK_MS, () => {
      this.#timer = this.#next();
      this.#look();
    });
  }

  #look(): void {
    const { size } = this.#streams;
    const { count } = this.#closedStreams;
    this.#idle = size === 0 && count === this.#closed ? this.#idle + 1 : 0;
    this.#closed = count;
    if (this.#idle >= IDLE_LOOKS_MAX) return this.#session.idle();
    const { congested, bytesWritten, unsentBytes } = this.#connection;
    const { windowIsShort, granted } = this.#scheduler;
    const full = this.#socket.look(congested ? bytesWritten - unsentBytes : -1);
    const shut = this.#window.look(windowIsShort ? granted : -1);
    if (full || shut) {
      return this.#session.giveUpConnection("the peer has taken next to nothing of what it asked for");
    }
    const sights = size === 0 ? NOTHING_SEEN : new Map<Http2Stream, Sight>();
    for (const stream of this.#streams.all()) this.#lookAt(stream, sights as Map<Http2Stream, Sight>);
    this.#sights = sights;
  }

  #lookAt(stream: Http2Stream, sights: Map<Http2Stream, Sight>): void {
    // HTTP/1 leaves tunnels alone as well, until both ends have ended them: nobody but us knows of it then.
    if (stream.closed || (stream.tunnel && !(stream.endGiven && stream.remoteEnded))) return;
    // One in line waits for the connection, not for a window of its own.
    const holds = stream.held !== undefined && !stream.inLine;
    const owesContent = this.#session.owesContent(stream);
    if (!holds && !owesContent) return;
    const { held, heldBytes, receivedBytes } = stream;
    const last = this.#sights.get(stream);
    let standstills = 0;
    if (last !== undefined) {
      const takes = !holds || held !== last.held || last.heldBytes - heldBytes >= OWED_BYTES_MIN;
      const sends = !owesContent || receivedBytes - last.receivedBytes >= OWED_BYTES_MIN;
      if (!takes || !sends) standstills = last.standstills + 1;
      if (standstills >= STANDSTILLS_MAX) {
        const what = takes ? "sent no more of the content that it announced" : "opened no window for what it asked for";
        return this.#session.giveUpStream(stream, `the peer has ${what} for ${(standstills * LOOK_MS) / 1_000} s`);
      }
    }
    sights.set(stream, { held, heldBytes, receivedBytes, standstills });
  }
}
