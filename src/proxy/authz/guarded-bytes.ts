/** Byte streams of one port, judged when they begin and whenever the policy changes. What is refused is reset. */
import type { Connection } from "../../net/connection.ts";
import type { Call } from "../../policy/policy.ts";
import type { FarSide, FarSideOwner } from "../far-side.ts";
import { failures } from "../failure.ts";
import type { Session } from "../listener.ts";
import { refuseOpaque } from "../opaque-forward.ts";
import type { OpaqueService } from "../serve.ts";
import type { Guard, Live } from "./guard.ts";

export function guardBytes(guard: Guard, next: OpaqueService): OpaqueService {
  return new GuardedBytes(guard, next);
}

class GuardedBytes implements OpaqueService {
  readonly #guard: Guard;
  readonly #next: OpaqueService;

  constructor(guard: Guard, next: OpaqueService) {
    this.#guard = guard;
    this.#next = next;
  }

  serve(connection: Connection, first: Buffer, ended: boolean, ahead: FarSide | undefined, done: () => void): Session {
    const guard = this.#guard;
    const call = guard.bytesCall(connection);
    if (!guard.open) {
      const decision = guard.judge(call);
      guard.counterOf(call, decision).inc();
      if (!decision.allowed) {
        ahead?.giveUp();
        return this.#refuse(failures.forbidden.kind, connection, done);
      }
      if (decision.external !== undefined) {
        ahead?.giveUp();
        return new AskingSession(decision.external, guard, call, connection, first, ended, done, {
          // The policy may be another by now.
          pass: (bytes, nearEnded) =>
            guard.admits(call)
              ? this.#pass(call, connection, bytes, nearEnded, undefined, done)
              : this.#refuse(failures.forbidden.kind, connection, done),
          refuse: (kind) => this.#refuse(kind, connection, done),
        });
      }
    }
    return this.#pass(call, connection, first, ended, ahead, done);
  }

  /** The application is not to hear of strangers, nor of those about whom somebody has to be asked. */
  dialAhead(owner: FarSideOwner, connection: Connection): FarSide | undefined {
    const guard = this.#guard;
    return guard.open || guard.allows(guard.bytesCall(connection))
      ? this.#next.dialAhead(owner, connection)
      : undefined;
  }

  #pass(
    call: Call,
    connection: Connection,
    first: Buffer,
    ended: boolean,
    ahead: FarSide | undefined,
    done: () => void,
  ): Session {
    const guard = this.#guard;
    let session: Session | undefined;
    const live: Live = { call, cut: () => session?.destroy() };
    guard.hold(live);
    session = this.#next.serve(connection, first, ended, ahead, () => {
      guard.release(live);
      done();
    });
    return session;
  }

  #refuse(kind: string, connection: Connection, done: () => void): Session {
    return refuseOpaque(kind, "inbound", this.#guard.context).serve(connection, NOTHING, false, undefined, done);
  }
}

const NOTHING = Buffer.alloc(0);

interface Ways {
  pass(first: Buffer, ended: boolean): Session;
  refuse(kind: string): Session;
}

/** A byte stream about which somebody is asked. The connection is paused meanwhile. */
class AskingSession implements Session {
  readonly #connection: Connection;
  #session: Session | undefined;
  #draining = false;

  constructor(
    names: readonly string[],
    guard: Guard,
    call: Call,
    connection: Connection,
    first: Buffer,
    ended: boolean,
    done: () => void,
    ways: Ways,
  ) {
    this.#connection = connection;
    let bytes = first;
    let nearEnded = ended;
    const giveUp = guard.ask(names, call, undefined, (verdict) => {
      this.#session =
        verdict.kind === "ok"
          ? ways.pass(bytes, nearEnded)
          : ways.refuse(verdict.kind === "denied" ? failures.externalDenied.kind : failures.authorizerUnavailable.kind);
      if (this.#draining) this.#session.shutdown();
    });
    connection.handler = {
      onData: (chunk) => (bytes = Buffer.concat([bytes, chunk])),
      onEnd: () => (nearEnded = true),
      onDrain() {},
      onClose: () => {
        giveUp();
        done();
      },
    };
  }

  shutdown(): void {
    this.#draining = true;
    this.#session?.shutdown();
  }

  destroy(): void {
    if (this.#session === undefined) this.#connection.destroy();
    else this.#session.destroy();
  }
}
