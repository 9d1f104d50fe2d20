/** Cuts a message body out of the byte stream, whatever its framing. */
import type { HeaderList, ProtocolFault } from "../exchange.ts";
import type { HttpLimits } from "../limits.ts";
import { CHUNKED_BAD, CHUNKED_DATA, CHUNKED_END, CHUNKED_LAST_DATA, CHUNKED_MORE, ChunkedDecoder } from "./chunked.ts";
import { type Framing, FRAMING_CHUNKED, FRAMING_CLOSE, FRAMING_NONE } from "./framing.ts";

/** The input ends before the next event. */
export const BODY_MORE = CHUNKED_MORE;
/** Data from `dataStart` to `dataEnd`. */
export const BODY_DATA = CHUNKED_DATA;
/** Likewise, and they are the last. */
export const BODY_LAST_DATA = CHUNKED_LAST_DATA;
/** The body has ended; `trailers` may hold fields. */
export const BODY_END = CHUNKED_END;
/** Refused: see `fault`. */
export const BODY_BAD = CHUNKED_BAD;

export class BodyReader {
  framing: Framing = FRAMING_NONE;
  /** Where the input has been consumed to. */
  position = 0;
  dataStart = 0;
  dataEnd = 0;
  /** With FRAMING_LENGTH: bytes still to come. */
  remaining = 0;

  readonly #limits: HttpLimits;
  #decoder: ChunkedDecoder | undefined = undefined;

  constructor(limits: HttpLimits) {
    this.#limits = limits;
  }

  get trailers(): HeaderList {
    return this.#decoder?.trailers ?? [];
  }

  get fault(): ProtocolFault | undefined {
    return this.#decoder?.fault;
  }

  start(framing: Framing, length: number): void {
    this.framing = framing;
    this.remaining = length;
    if (framing === FRAMING_CHUNKED) {
      this.#decoder ??= new ChunkedDecoder(this.#limits);
      this.#decoder.start();
    }
  }

  /** Consumes input up to the next event and answers which. There must be input, and the body must not have ended. */
  next(chunk: Buffer, from: number): number {
    const decoder = this.#decoder;
    if (this.framing === FRAMING_CHUNKED && decoder !== undefined) {
      const event = decoder.next(chunk, from);
      this.position = decoder.position;
      this.dataStart = decoder.dataStart;
      this.dataEnd = decoder.dataEnd;
      return event;
    }
    this.dataStart = from;
    if (this.framing === FRAMING_CLOSE || chunk.length - from < this.remaining) {
      this.remaining -= chunk.length - from;
      this.dataEnd = chunk.length;
      this.position = chunk.length;
      return BODY_DATA;
    }
    this.dataEnd = from + this.remaining;
    this.position = this.dataEnd;
    this.remaining = 0;
    return BODY_LAST_DATA;
  }
}
