/** Counts whole HTTP/1 answers on one connection. Knows what the bench's back end sends: content-length, no chunks. */
export class AnswerCounter {
  #head = "";
  #bodyLeft = 0;
  readonly #onAnswer: (status: number) => void;
  #status = 0;

  constructor(onAnswer: (status: number) => void) {
    this.#onAnswer = onAnswer;
  }

  /** @throws Error if an answer has no content-length */
  push(chunk: Buffer): void {
    let from = 0;
    while (from < chunk.length) {
      if (this.#bodyLeft > 0) {
        const count = Math.min(this.#bodyLeft, chunk.length - from);
        this.#bodyLeft -= count;
        from += count;
        if (this.#bodyLeft === 0) this.#onAnswer(this.#status);
      } else {
        from = this.#readHead(chunk, from);
      }
    }
  }

  /** @returns where the body begins */
  #readHead(chunk: Buffer, from: number): number {
    const before = this.#head.length;
    this.#head += chunk.toString("latin1", from);
    const end = this.#head.indexOf("\r\n\r\n");
    if (end === -1) return chunk.length;
    const head = this.#head.slice(0, end);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head);
    if (length === null) throw new Error(`an answer without content-length: ${head}`);
    this.#head = "";
    this.#status = Number(head.slice(9, 12));
    this.#bodyLeft = Number(length[1]);
    if (this.#bodyLeft === 0) this.#onAnswer(this.#status);
    return from + end + 4 - before;
  }
}
