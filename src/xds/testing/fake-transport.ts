/** A control plane in memory: what the client sends is kept, what it hears is said by the test. */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";

import type { ClientStream, ClientTransport, StreamEvents } from "../client-transport.ts";
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from "../gen/envoy/service/discovery/v3/discovery_pb.ts";

/** One attempt of the client to open a stream. */
export class FakeStream implements ClientStream {
  readonly events: StreamEvents;
  readonly requests: DeltaDiscoveryRequest[] = [];
  closed = false;

  constructor(events: StreamEvents) {
    this.events = events;
  }

  send(message: Uint8Array): void {
    if (this.closed) throw new Error("sent on a closed stream");
    this.requests.push(fromBinary(DeltaDiscoveryRequestSchema, message));
  }

  close(): void {
    this.closed = true;
  }

  /** The requests since the last call. */
  take(): DeltaDiscoveryRequest[] {
    return this.requests.splice(0);
  }

  /** The server says something. */
  respond(response: MessageInitShape<typeof DeltaDiscoveryResponseSchema>): void {
    const bytes = toBinary(DeltaDiscoveryResponseSchema, create(DeltaDiscoveryResponseSchema, response));
    this.events.onMessage(bytes);
    // The bytes are only valid during the call.
    bytes.fill(0xff);
  }
}

export class FakeTransport implements ClientTransport {
  readonly streams: FakeStream[] = [];

  open(events: StreamEvents): ClientStream {
    const stream = new FakeStream(events);
    this.streams.push(stream);
    return stream;
  }

  /** The newest stream. */
  get stream(): FakeStream {
    const stream = this.streams.at(-1);
    if (stream === undefined) throw new Error("the client has opened no stream");
    return stream;
  }
}
