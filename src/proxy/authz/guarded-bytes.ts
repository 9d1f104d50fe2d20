/** Byte streams of one port, judged when they begin and whenever the policy changes. What is refused is reset. */
import type { Connection } from "../../net/connection.ts";
import type { FarSide, FarSideOwner } from "../far-side.ts";
import { type Failure, type FailureCause, failures } from "../failure.ts";
import type { Session } from "../listener.ts";
import { refuseOpaque } from "../opaque-forward.ts";
import type { OpaqueService } from "../serve.ts";
import type { Guard } from "./guard.ts";
import { type Live, LiveCall } from "./live-call.ts";

export function guardBytes(guard: Guard, next: OpaqueService): OpaqueService {
  return new GuardedBytes(guard, next);
}

const NOTHING = Buffer.alloc(0);

class GuardedBytes implements OpaqueService {
  readonly #guard: Guard;
  readonly #next: OpaqueService;

  constructor(guard: Guard, next: OpaqueService) {
    this.#guard = guard;
    this.#next = next;
  }

  serve(connection: Connection, first: Buffer, ended: boolean, ahead: FarSide | undefined, done: () => void): Session {
    const guard = this.#guard;
    const call = new LiveCall(guard.bytesCall(connection), undefined, true);
    if (!guard.open) {
      const decision = guard.judge(call);
      guard.counterOf(call, decision).inc();
      if (!decision.allowed) {
        ahead?.giveUp();
        return refuse(guard, connection, failures.forbidden, done);
      }
      if (decision.external !== undefined) {
        ahead?.giveUp();
        return new AskingBytes(decision.external, guard, this.#next, call, connection, first, ended, done);
      }
    }
    return new LiveBytes(guard, this.#next, call, connection, first, ended, ahead, done);
  }

  /** The application is not to hear of strangers, nor of those about whom somebody has to be asked. */
  dialAhead(owner: FarSideOwner, connection: Connection): FarSide | undefined {
    const guard = this.#guard;
    const decision = guard.open ? undefined : guard.decide(guard.bytesCall(connection));
    const admitted = decision === undefined || (decision.allowed && decision.external === undefined);
    return admitted ? this.#next.dialAhead(owner, connection) : undefined;
  }
}

function refuse(guard: Guard, connection: Connection, { kind }: Failure, done: () => void): Session {
  return refuseOpaque(kind, "inbound", guard.context).serve(connection, NOTHING, false, undefined, done);
}

/** One that was let in. */
class LiveBytes implements Session, Live {
  readonly tunnel = true;
  over = false;
  readonly #guard: Guard;
  readonly #call: LiveCall;
  readonly #session: Session;

  constructor(
    guard: Guard,
    next: OpaqueService,
    call: LiveCall,
    connection: Connection,
    first: Buffer,
    ended: boolean,
    ahead: FarSide | undefined,
    done: () => void,
  ) {
    this.#guard = guard;
    this.#call = call;
    this.#session = next.serve(connection, first, ended, ahead, () => {
      this.over = true;
      call.giveUp();
      done();
    });
  }

  shutdown(): void {
    this.#session.shutdown();
  }

  destroy(): void {
    this.#session.destroy();
  }

  review(): void {
    this.#call.review(this.#guard, this, undefined);
  }

  cut(): void {
    this.#session.destroy();
  }
}

/** One about which somebody is asked. The connection is paused meanwhile. */
class AskingBytes implements Session, Live {
  readonly tunnel = true;
  readonly #guard: Guard;
  readonly #call: LiveCall;
  readonly #connection: Connection;
  readonly #done: () => void;
  /** What became of it. */
  #session: Session | undefined;
  #closed = false;
  #draining = false;

  constructor(
    names: readonly string[],
    guard: Guard,
    next: OpaqueService,
    call: LiveCall,
    connection: Connection,
    first: Buffer,
    ended: boolean,
    done: () => void,
  ) {
    this.#guard = guard;
    this.#call = call;
    this.#connection = connection;
    this.#done = done;
    let bytes = first;
    let nearEnded = ended;
    connection.handler = {
      onData: (chunk) => (bytes = Buffer.concat([bytes, chunk])),
      onEnd: () => (nearEnded = true),
      onDrain() {},
      onClose: () => {
        this.#closed = true;
        call.giveUp();
        done();
      },
    };
    call.ask(guard, names, undefined, ({ kind }) => {
      if (kind === "ok") this.#become(new LiveBytes(guard, next, call, connection, bytes, nearEnded, undefined, done));
      else this.#refuse(kind === "denied" ? failures.externalDenied : failures.authorizerUnavailable);
    });
  }

  get over(): boolean {
    return this.#closed || this.#session !== undefined;
  }

  shutdown(): void {
    this.#draining = true;
    this.#session?.shutdown();
  }

  destroy(): void {
    if (this.#session === undefined) this.#connection.destroy();
    else this.#session.destroy();
  }

  review(): void {
    if (this.#session === undefined) this.#call.review(this.#guard, this, undefined);
    else this.#session.review?.();
  }

  cut({ failure }: FailureCause): void {
    this.#refuse(failure);
  }

  #refuse(failure: Failure): void {
    this.#become(refuse(this.#guard, this.#connection, failure, this.#done));
  }

  #become(session: Session): void {
    this.#session = session;
    if (this.#draining) session.shutdown();
  }
}
