/**
 * HTTP/1 messages as the second reader of RFC 9112 sees them: simple, strict, and without a line in common with `src/`, so
 * that both would have to make the same mistake.
 */

/** Start line, fields, an empty line, the body without its chunks, and, after a line end, the trailers: lines end with LF. */
export type MessageText = string;

/** Cuts whole messages from the front of a byte stream (one character per byte). */
export class MessageCutter {
  /** What has not become a message yet. */
  rest = "";
  readonly #body: (startLine: string) => boolean;

  /** @param body false for a message that has none whatever its fields say, from its start line */
  constructor(body: (startLine: string) => boolean = () => true) {
    this.#body = body;
  }

  /** @throws Error when the bytes are no HTTP/1 */
  feed(bytes: string): MessageText[] {
    this.rest += bytes;
    const messages: MessageText[] = [];
    for (let message = this.#next(); message !== undefined; message = this.#next()) messages.push(message);
    return messages;
  }

  #next(): MessageText | undefined {
    const headEnd = this.rest.indexOf("\r\n\r\n");
    if (headEnd < 0) return undefined;
    const lines = this.rest.slice(0, headEnd).split("\r\n");
    const [start = ""] = lines;
    let length = "0";
    let chunked = false;
    for (const line of lines.slice(1)) {
      const field = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([^\r\n\0]*)$/.exec(line);
      if (field === null) throw new Error(`no field line: ${JSON.stringify(line)}`);
      const name = (field[1] as string).toLowerCase();
      if (name === "content-length") length = field[2] as string;
      if (name === "transfer-encoding") chunked = true;
      if (chunked && length !== "0") throw new Error("two framings");
    }
    if (!/^[0-9]+$/.test(length)) throw new Error(`Content-Length ${JSON.stringify(length)}`);
    const head = `${lines.join("\n")}\n\n`;
    const from = headEnd + 4;
    if (!this.#body(start)) return this.#take(from, head);
    if (chunked) return this.#chunked(from, head);
    const to = from + Number(length);
    return this.rest.length < to ? undefined : this.#take(to, head + this.rest.slice(from, to));
  }

  #chunked(from: number, head: string): MessageText | undefined {
    let text = head;
    for (let at = from; ;) {
      const sizeEnd = this.rest.indexOf("\r\n", at);
      if (sizeEnd < 0) return undefined;
      const size = this.rest.slice(at, sizeEnd);
      if (!/^[0-9a-f]+$/.test(size)) throw new Error(`chunk size ${JSON.stringify(size)}`);
      at = sizeEnd + 2 + Number.parseInt(size, 16);
      if (size !== "0") {
        if (this.rest.length < at + 2) return undefined;
        if (this.rest.slice(at, at + 2) !== "\r\n") throw new Error("a chunk that does not end");
        text += this.rest.slice(sizeEnd + 2, at);
        at += 2;
        continue;
      }
      if (this.rest.startsWith("\r\n", at)) return this.#take(at + 2, text);
      const trailersEnd = this.rest.indexOf("\r\n\r\n", at);
      if (trailersEnd < 0) return undefined;
      const trailers = this.rest.slice(at, trailersEnd).split("\r\n").join("\n");
      return this.#take(trailersEnd + 4, `${text}\n${trailers}\n`);
    }
  }

  #take(length: number, message: MessageText): MessageText {
    this.rest = this.rest.slice(length);
    return message;
  }
}
