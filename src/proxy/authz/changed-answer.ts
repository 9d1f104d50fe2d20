/** An answer to which an external authorizer adds fields. */
import type { HeaderList, ResetCause, ResponseHead, ResponseReceiver } from "../../protocol/exchange.ts";
import { changeFields, type FieldChange } from "./field-change.ts";

export class ChangedAnswer implements ResponseReceiver {
  readonly #receiver: ResponseReceiver;
  readonly #changes: readonly FieldChange[];

  constructor(receiver: ResponseReceiver, changes: readonly FieldChange[]) {
    this.#receiver = receiver;
    this.#changes = changes;
  }

  onHead(head: ResponseHead, end: boolean): void {
    if (head.status >= 200 || head.upgrade !== "") changeFields(head.headers, this.#changes);
    this.#receiver.onHead(head, end);
  }

  onData(chunk: Buffer, end: boolean): void {
    this.#receiver.onData(chunk, end);
  }

  onTrailers(trailers: HeaderList): void {
    this.#receiver.onTrailers(trailers);
  }

  onReset(cause: ResetCause): void {
    this.#receiver.onReset(cause);
  }

  onWritable(): void {
    this.#receiver.onWritable();
  }
}
