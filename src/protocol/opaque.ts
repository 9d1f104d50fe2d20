/** Joins two connections into one byte stream each way: half-close, back-pressure and RST pass through. */
import type { Connection, ConnectionHandler } from "../net/connection.ts";

export interface SpliceOptions {
  /**
   * Both connections are gone. The counts are of all bytes read from each side, those before the splice included.
   *
   * @param error the first one that either connection ended with
   */
  onClose(bytesAtoB: number, bytesBtoA: number, error: Error | undefined): void;
}

/**
 * Passes everything on, from now until both connections are closed. Bytes read earlier, and a FIN seen earlier (`end` of
 * the other side), are the caller's to pass on before.
 */
export function splice(a: Connection, b: Connection, options: SpliceOptions): void {
  let open = 2;
  let firstError: Error | undefined;
  const gone = (error: Error | undefined): void => {
    firstError ??= error;
    if (--open === 0) options.onClose(a.bytesRead, b.bytesRead, firstError);
  };
  // Both handlers first: resuming or resetting one may call the other.
  a.handler = new Side(a, b, gone);
  b.handler = new Side(b, a, gone);
  // A connection that was lost before has no further call to tell it with.
  if (a.closed) a.handler.onClose(undefined);
  if (b.closed) b.handler.onClose(undefined);
  a.resume();
  b.resume();
}

class Side implements ConnectionHandler {
  readonly #near: Connection;
  readonly #far: Connection;
  readonly #gone: (error: Error | undefined) => void;

  constructor(near: Connection, far: Connection, gone: (error: Error | undefined) => void) {
    this.#near = near;
    this.#far = far;
    this.#gone = gone;
  }

  onData(chunk: Buffer): void {
    if (!this.#far.write(chunk)) this.#near.pause();
  }

  onEnd(): void {
    this.#far.end();
  }

  onDrain(): void {
    this.#far.resume();
  }

  onClose(error: Error | undefined): void {
    // Each side was told of the other's FIN: a whole stream both ways. Anything less must not look like that.
    const whole = error === undefined && this.#near.ended && this.#far.ended;
    if (!whole) this.#far.reset();
    this.#gone(error);
  }
}
