/** Test doubles: receivers and handlers that write down what they are told. */
import type {
  BodyReceiver,
  ClientOwner,
  HeaderList,
  ProtocolFault,
  RequestHead,
  ResetCause,
  ResponseHead,
  ResponseReceiver,
  ServerHandler,
  ServerStream,
} from "../../src/protocol/exchange.ts";

/** Writes down one direction of an exchange. */
export class RecordedBody implements BodyReceiver {
  readonly chunks: Buffer[] = [];
  trailers: HeaderList | undefined = undefined;
  ended = false;
  reset: ResetCause | undefined = undefined;
  writable = 0;
  /** Calls after the end or a reset: always a mistake of the codec. */
  late = 0;
  /** Called once the direction has ended. */
  whenEnded: () => void = () => {};

  onData(chunk: Buffer, end: boolean): void {
    this.#check();
    this.chunks.push(Buffer.from(chunk));
    if (end) this.#end();
  }

  onTrailers(trailers: HeaderList): void {
    this.#check();
    this.trailers = trailers;
    this.#end();
  }

  onReset(cause: ResetCause): void {
    if (this.reset !== undefined) this.late++;
    this.reset = cause;
  }

  onWritable(): void {
    if (this.reset !== undefined) this.late++;
    this.writable++;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  get text(): string {
    return this.bytes.toString("latin1");
  }

  #end(): void {
    this.ended = true;
    this.whenEnded();
  }

  #check(): void {
    if (this.ended || this.reset !== undefined) this.late++;
  }
}

export class RecordedResponse extends RecordedBody implements ResponseReceiver {
  readonly interim: ResponseHead[] = [];
  head: ResponseHead | undefined = undefined;

  onHead(head: ResponseHead, end: boolean): void {
    if (head.status < 200 && head.status !== 101) {
      this.interim.push(head);
      return;
    }
    if (this.head !== undefined) this.late++;
    this.head = head;
    if (end) this.ended = true;
  }
}

export interface RecordedRequest {
  readonly stream: ServerStream;
  readonly head: RequestHead;
  readonly end: boolean;
  readonly body: RecordedBody;
}

export class RecordingHandler implements ServerHandler {
  readonly requests: RecordedRequest[] = [];
  readonly faults: ProtocolFault[] = [];
  closed = 0;
  /** Called for each request after it was written down. */
  answer: (request: RecordedRequest) => void = () => {};

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): void {
    const request = { stream, head, end, body: new RecordedBody() };
    stream.receiver = request.body;
    this.requests.push(request);
    this.answer(request);
  }

  onFault(fault: ProtocolFault): { head: ResponseHead; body: string } {
    this.faults.push(fault);
    return { head: { status: fault.status, reason: "", headers: [], upgrade: "" }, body: `${fault.kind}\n` };
  }

  onClose(): void {
    this.closed++;
  }

  /** The only request so far. */
  get only(): RecordedRequest {
    const [request] = this.requests;
    if (request === undefined || this.requests.length !== 1) throw new Error(`${this.requests.length} requests`);
    return request;
  }
}

export class RecordingOwner implements ClientOwner {
  available = 0;
  closed = 0;

  onAvailable(): void {
    this.available++;
  }

  onClose(): void {
    this.closed++;
  }
}

/** A response head with nothing special. */
export function responseHead(status: number, headers: HeaderList = []): ResponseHead {
  return { status, reason: "", headers, upgrade: "" };
}

/** A request head with nothing special. */
export function requestHead(method: string, path: string, headers: HeaderList = []): RequestHead {
  return { method, scheme: "http", authority: "example.test", path, headers, version: "1.1", upgrade: "" };
}
