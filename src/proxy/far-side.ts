/**
 * The far side of a byte stream: an endpoint is chosen once per connection, by the same balancer as for requests, and
 * dialled; another one is tried while none accepts. While there is none, it waits in the same queue as requests do, and
 * fails with it. It counts as in flight, against the backend's limit, until it is released.
 *
 *   seeking ──assign──▶ dialling ──▶ connected (listened to, if asked) ──▶ the owner splices it
 *      ▲                   │
 *      └──not accepted─────┴──too often, nobody there──▶ failed
 */
import type { Connection, ConnectionHandler } from "../net/connection.ts";
import { ResetCause } from "../protocol/exchange.ts";
import type { Backend } from "./backend.ts";
import type { ProxyContext } from "./context.ts";
import { ATTEMPTS_MAX } from "./dispatch.ts";
import type { BalancedEndpoint } from "./endpoint.ts";
import type { Place } from "./pool/wait-list.ts";
import type { Seeker } from "./seeker.ts";

/** Who waits for the far side. No call is made from inside `new FarSide`. */
export interface FarSideOwner {
  /** `connection` is there, paused. */
  onConnected(): void;
  /** It has spoken while it was listened to, and is paused again: `first` holds what it said. */
  onSpoke(): void;
  /** There is no endpoint, none that accepts, or it was lost while it was listened to. Nothing follows. */
  onFailed(cause: ResetCause): void;
}

const NOTHING = Buffer.alloc(0);

export class FarSide implements Seeker, ConnectionHandler {
  /** May be replaced at any time. */
  owner: FarSideOwner;
  /** Once connected. */
  connection: Connection | undefined;
  /** What it said before it was spliced: at most one read. */
  first: Buffer = NOTHING;
  /** It has sent FIN already. */
  ended = false;
  /** Nothing will come of it: it has failed, or was given up. */
  over = false;
  readonly #backend: Backend;
  readonly #context: ProxyContext;
  #endpoint: BalancedEndpoint | undefined;
  #attempts = 0;
  #place: Place<Seeker> | undefined;
  #giveUpDial: (() => void) | undefined;

  constructor(backend: Backend, context: ProxyContext, owner: FarSideOwner) {
    this.#backend = backend;
    this.#context = context;
    this.owner = owner;
    const refusal = backend.admit();
    if (refusal === undefined) this.#seek(undefined, undefined);
    else queueMicrotask(() => this.fail(refusal));
  }

  /** For humans and metrics: whom it is connected to. */
  get endpoint(): BalancedEndpoint | undefined {
    return this.#endpoint;
  }

  /** Reads until it speaks or ends. Only once it is connected, and before it is spliced. */
  listen(): void {
    this.connection?.resume();
  }

  /** The byte stream has ended, however: its endpoint has one connection less. Idempotent. */
  release(): void {
    if (this.over) return;
    this.over = true;
    this.#place?.leave();
    this.#giveUpDial?.();
    this.#leaveEndpoint();
    this.#backend.finished();
  }

  /** It is not wanted after all. Idempotent. */
  giveUp(): void {
    this.release();
    this.connection?.destroy();
  }

  assign(endpoint: BalancedEndpoint): void {
    const { clock } = this.#context;
    this.#place = undefined;
    this.#attempts++;
    this.#endpoint = endpoint;
    endpoint.inFlight++;
    const startedAt = clock.now();
    this.#giveUpDial = endpoint.dial((error, far) => {
      this.#giveUpDial = undefined;
      if (far === undefined) {
        this.#notConnected(endpoint, new ResetCause("connect", error?.message ?? "no connection"));
        return;
      }
      const now = clock.now();
      endpoint.succeeded(now, now - startedAt);
      this.#backend.answered();
      far.handler = this;
      this.connection = far;
      this.owner.onConnected();
    });
  }

  fail(cause: ResetCause): void {
    if (this.over) return;
    this.release();
    this.owner.onFailed(cause);
  }

  onData(chunk: Buffer): void {
    this.first = Buffer.concat([this.first, chunk]);
    this.connection?.pause();
    this.owner.onSpoke();
  }

  onEnd(): void {
    this.ended = true;
  }

  onDrain(): void {}

  onClose(error: Error | undefined): void {
    this.fail(new ResetCause("closed", `the connection was lost: ${error?.message ?? "closed"}`));
  }

  #seek(failed: BalancedEndpoint | undefined, cause: ResetCause | undefined): void {
    this.#place = this.#backend.place(this, failed, cause);
  }

  #notConnected(endpoint: BalancedEndpoint, cause: ResetCause): void {
    this.#leaveEndpoint();
    if (this.#backend.single) {
      this.fail(cause);
      return;
    }
    endpoint.failed();
    if (this.#attempts < ATTEMPTS_MAX) this.#seek(endpoint, cause);
    else this.fail(cause);
  }

  #leaveEndpoint(): void {
    if (this.#endpoint !== undefined) this.#endpoint.inFlight--;
    this.#endpoint = undefined;
  }
}
