/** A stream whose far side has said all that it will say: for servers of Node that want to read from a socket. */
import { Duplex } from "node:stream";

export class MemoryDuplex extends Duplex {
  /** What was written to it. */
  readonly written: Buffer[] = [];

  /** @param input then FIN */
  constructor(input: Buffer) {
    super({ allowHalfOpen: true });
    this.on("error", () => {});
    if (input.length > 0) this.push(input);
    this.push(null);
  }

  override _read(): void {}

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.written.push(chunk);
    done();
  }
}

/** Turns of the event loop until nothing of a short input can be under way any more. */
const TURNS = 6;

export async function settled(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await new Promise(setImmediate);
}
