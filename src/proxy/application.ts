/**
 * The application behind an inbound listener, as something that requests can be sent to: it gets each request as its
 * caller wrote it, and its answers go back with what the caller's sidecar needs to restore them.
 */
import type {
  ClientStream,
  HeaderList,
  RequestHead,
  ResetCause,
  ResponseHead,
  ResponseReceiver,
} from "../protocol/exchange.ts";
import { packResponse, unpackRequest } from "./original.ts";
import { dropOwnFields } from "./own-fields.ts";
import type { HttpService } from "./service.ts";

export class Application implements HttpService {
  readonly #backend: HttpService;
  readonly #fromSidecars: boolean;

  /** @param fromSidecars what comes here in HTTP/2 comes from sidecars, whose word is taken for how a request was */
  constructor(backend: HttpService, fromSidecars: boolean) {
    this.#backend = backend;
    this.#fromSidecars = fromSidecars;
  }

  open(head: RequestHead, end: boolean, receiver: ResponseReceiver): ClientStream {
    // Sidecars speak HTTP/2 with each other.
    const believed = this.#fromSidecars && head.version === "2";
    if (!believed) dropOwnFields(head.headers);
    const original = believed ? unpackRequest(head) : head;
    const packed = original !== head;
    if (packed) restore(head, original);
    return this.#backend.open(head, end, new OutgoingAnswer(receiver, packed, head.upgrade !== ""));
  }
}

/** In place: whoever judges the request again is to see the same head as the application. */
function restore(head: RequestHead, { method, headers, version, upgrade }: RequestHead): void {
  head.method = method;
  head.headers = headers;
  head.version = version;
  head.upgrade = upgrade;
}

class OutgoingAnswer implements ResponseReceiver {
  readonly #receiver: ResponseReceiver;
  readonly #packed: boolean;
  /** The request asked for an upgrade. */
  readonly #asked: boolean;

  constructor(receiver: ResponseReceiver, packed: boolean, asked: boolean) {
    this.#receiver = receiver;
    this.#packed = packed;
    this.#asked = asked;
  }

  onHead(head: ResponseHead, end: boolean): void {
    this.#receiver.onHead(this.#packed ? packResponse(head, this.#asked) : head, end);
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
