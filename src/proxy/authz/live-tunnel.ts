/** A tunnel that was let in (CONNECT, WebSocket, any upgrade), for as long as the policy lets it in. */
import type {
  ClientStream,
  HeaderList,
  RequestHead,
  ResetCause,
  ResponseHead,
  ResponseReceiver,
} from "../../protocol/exchange.ts";
import type { Call, Decision } from "../../policy/policy.ts";
import { failureCause, failures } from "../failure.ts";
import type { HttpService } from "../service.ts";
import type { Guard, Live } from "./guard.ts";

export class LiveTunnel implements ClientStream, ResponseReceiver, Live {
  readonly call: Call;
  readonly #guard: Guard;
  readonly #receiver: ResponseReceiver;
  readonly #stream: ClientStream;
  #granted = false;
  #sent = false;
  #received = false;
  #over = false;

  constructor(
    guard: Guard,
    call: Call,
    service: HttpService,
    head: RequestHead,
    end: boolean,
    receiver: ResponseReceiver,
  ) {
    this.call = call;
    this.#guard = guard;
    this.#receiver = receiver;
    guard.hold(this);
    this.#stream = service.open(head, end, this);
  }

  cut(decision: Decision): void {
    if (!this.#finish()) return;
    const cause = failureCause(failures.forbidden, "cancelled", this.#guard.tell(this.call, decision));
    this.#stream.reset(cause);
    this.#receiver.onReset(cause);
  }

  sendData(chunk: Uint8Array, end: boolean): boolean {
    if (this.#over) return true;
    if (end) this.#sent = true;
    const go = this.#stream.sendData(chunk, end);
    this.#finishIfEnded();
    return go;
  }

  sendTrailers(trailers: HeaderList): void {
    this.#sent = true;
    if (!this.#over) this.#stream.sendTrailers(trailers);
    this.#finishIfEnded();
  }

  reset(cause: ResetCause): void {
    if (this.#finish()) this.#stream.reset(cause);
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  onHead(head: ResponseHead, end: boolean): void {
    if (this.#over) return;
    if (head.upgrade !== "") this.#granted = true;
    // Declined: an ordinary answer, after which there is nothing to cut.
    else if (head.status >= 200) this.#sent = true;
    if (end) this.#received = true;
    this.#receiver.onHead(head, end);
    this.#finishIfEnded();
  }

  onData(chunk: Buffer, end: boolean): void {
    if (this.#over) return;
    if (end) this.#received = true;
    this.#receiver.onData(chunk, end);
    this.#finishIfEnded();
  }

  onTrailers(trailers: HeaderList): void {
    if (this.#over) return;
    this.#received = true;
    this.#receiver.onTrailers(trailers);
    this.#finishIfEnded();
  }

  onReset(cause: ResetCause): void {
    if (this.#finish()) this.#receiver.onReset(cause);
  }

  onWritable(): void {
    if (!this.#over) this.#receiver.onWritable();
  }

  #finishIfEnded(): void {
    if (this.#received && (this.#sent || !this.#granted)) this.#finish();
  }

  #finish(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#guard.release(this);
    return true;
  }
}
