/** What a server codec hands out, reduced to a record of what it was given. */
import type { BodyReceiver, HeaderList, ResetCause, ResponseHead, ServerStream } from "../../protocol/exchange.ts";
import { IGNORE_BODY } from "../service.ts";

export class FakeServerStream implements ServerStream {
  receiver: BodyReceiver = IGNORE_BODY;
  readonly heads: ResponseHead[] = [];
  readonly chunks: Buffer[] = [];
  trailers: HeaderList | undefined;
  ended = false;
  given: ResetCause | undefined;
  paused = false;
  /** What `sendData` answers. */
  writable = true;
  /** Called instead of taking a head. */
  whenHead: ((head: ResponseHead) => void) | undefined;

  get status(): number | undefined {
    return this.heads.at(-1)?.status;
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString();
  }

  header(name: string): string | undefined {
    const headers = this.heads.at(-1)?.headers ?? [];
    const at = headers.indexOf(name);
    return at < 0 ? undefined : headers[at + 1];
  }

  sendHead(head: ResponseHead, end: boolean): void {
    if (this.whenHead !== undefined) {
      this.whenHead(head);
      return;
    }
    this.heads.push(head);
    this.ended ||= end;
  }

  sendData(chunk: Uint8Array, end: boolean): boolean {
    this.chunks.push(Buffer.from(chunk));
    this.ended ||= end;
    return this.writable;
  }

  sendTrailers(trailers: HeaderList): void {
    this.trailers = trailers;
    this.ended = true;
  }

  reset(cause: ResetCause): void {
    this.given = cause;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }
}
