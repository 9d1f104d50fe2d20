import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";

import { spiffeId } from "../model/identity.ts";
import { emptyMesh, type Mesh } from "../model/mesh.ts";
import type { Logger } from "../telemetry/log.ts";
import { AdsError, type AdsSession, StreamRecord } from "./ads-session.ts";
import { callerIdentity } from "./caller.ts";
import { DeltaSession } from "./delta-session.ts";
import { AggregatedDiscoveryService } from "./gen/envoy/service/discovery/v3/ads_pb.ts";
import type { NodeStatus } from "./node.ts";
import { Snapshot } from "./snapshot.ts";
import { SotwSession } from "./sotw-session.ts";

/** Streams that are served at once. */
export const STREAMS_MAX = 10_000;

/** Bytes of one request: a reconnecting client may list all its names with their versions. */
const REQUEST_BYTES_MAX = 4 * 1024 * 1024;

export interface AdsServerOptions {
  readonly logger: Logger;
  /** Heddle's own version, told to clients. */
  readonly version: string;
  /** The wall clock. */
  readonly now?: () => Date;
  /** Somebody said to be of another namespace than it has proved to be of, and was refused. */
  readonly onForeign?: (detail: string, who: string) => void;
}

interface Stream {
  readonly record: StreamRecord;
  meshChanged(snapshot: Snapshot): void;
  end(): void;
}

/** Serves a {@link Mesh} to sidecars, proxyless gRPC clients and Envoys over aggregated xDS. */
export class AdsServer {
  readonly #logger: Logger;
  readonly #now: () => Date;
  readonly #controlPlane: string;
  readonly #onForeign: (detail: string, who: string) => void;
  readonly #streams = new Set<Stream>();
  #snapshot: Snapshot;
  #closed = false;

  constructor(options: AdsServerOptions) {
    this.#logger = options.logger;
    this.#now = options.now ?? (() => new Date());
    this.#controlPlane = `heddle/${options.version}`;
    this.#onForeign = options.onForeign ?? (() => {});
    this.#snapshot = new Snapshot(emptyMesh, options.logger);
  }

  /** Replaces the whole world; only what differs is sent, to those who asked for it. */
  setMesh(mesh: Mesh): void {
    this.#snapshot = new Snapshot(mesh, this.#logger, this.#snapshot);
    for (const stream of this.#streams) stream.meshChanged(this.#snapshot);
  }

  /** The streams open now. */
  nodes(): NodeStatus[] {
    return [...this.#streams].map(({ record }) => record.status());
  }

  /** Adds both methods of the AggregatedDiscoveryService. */
  register(router: ConnectRouter): void {
    router.service(
      AggregatedDiscoveryService,
      {
        streamAggregatedResources: (requests, context) => this.#serve(SotwSession, requests, context),
        deltaAggregatedResources: (requests, context) => this.#serve(DeltaSession, requests, context),
      },
      { readMaxBytes: REQUEST_BYTES_MAX },
    );
  }

  /** Ends all streams and takes no more. */
  close(): void {
    this.#closed = true;
    for (const stream of this.#streams) stream.end();
  }

  async *#serve<Request, Response>(
    Session: new (snapshot: Snapshot, record: StreamRecord, controlPlane: string) => AdsSession<Request, Response>,
    requests: AsyncIterable<Request>,
    context: HandlerContext,
  ): AsyncGenerator<Response> {
    if (this.#closed) throw new ConnectError("the control plane is shutting down", Code.Unavailable);
    if (this.#streams.size >= STREAMS_MAX) {
      throw new ConnectError(`more than ${STREAMS_MAX} xDS streams`, Code.ResourceExhausted);
    }
    const identity = context.values.get(callerIdentity);
    const record = new StreamRecord(this.#logger, this.#now, identity);
    const session = new Session(this.#snapshot, record, this.#controlPlane);
    const bell = new Bell();
    const over = new AbortController();
    const end = (): void => {
      over.abort();
      bell.ring();
    };
    const stream: Stream = {
      record: session.record,
      meshChanged: (snapshot) => {
        session.meshChanged(snapshot);
        bell.ring();
      },
      end,
    };
    const read = async (): Promise<void> => {
      try {
        for await (const request of requests) {
          session.handle(request);
          bell.ring();
        }
      } catch (error) {
        if (error instanceof AdsError && error.code === "permission_denied") {
          this.#onForeign(error.message, identity === undefined ? "" : spiffeId(identity));
        }
        over.abort(asConnectError(error));
      }
      end();
    };
    this.#streams.add(stream);
    context.signal.addEventListener("abort", end);
    try {
      void read();
      while (!over.signal.aborted) {
        const response = session.next();
        // While the client is slow to take it, this generator rests here, and what changes is found by the next `next`.
        if (response === undefined) await bell.rung();
        else yield response;
      }
      if (over.signal.reason instanceof ConnectError) throw over.signal.reason;
    } finally {
      this.#streams.delete(stream);
      context.signal.removeEventListener("abort", end);
    }
  }
}

/** Lets one waiter sleep until something has happened since it last looked. */
class Bell {
  #waiting = Promise.withResolvers<void>();

  ring(): void {
    this.#waiting.resolve();
  }

  async rung(): Promise<void> {
    await this.#waiting.promise;
    this.#waiting = Promise.withResolvers<void>();
  }
}

function asConnectError(error: unknown): ConnectError {
  if (!(error instanceof AdsError)) return ConnectError.from(error);
  return new ConnectError(error.message, CODES[error.code]);
}

const CODES = {
  invalid_argument: Code.InvalidArgument,
  resource_exhausted: Code.ResourceExhausted,
  permission_denied: Code.PermissionDenied,
} as const satisfies Record<AdsError["code"], Code>;
