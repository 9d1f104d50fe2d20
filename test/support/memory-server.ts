/** An HTTP/1 server codec on a connection without a network, on virtual time. */
import { VirtualClock } from "../../src/net/virtual-clock.ts";
import { defaultHttp1Options } from "../../src/protocol/http1/options.ts";
import { Http1ServerConnection } from "../../src/protocol/http1/server.ts";
import { RecordingHandler } from "./exchange-recorder.ts";
import { MemoryConnection } from "./memory-connection.ts";

export interface MemoryServer {
  readonly clock: VirtualClock;
  readonly peer: MemoryConnection;
  readonly handler: RecordingHandler;
  readonly server: Http1ServerConnection;
}

export function memoryServer(): MemoryServer {
  const clock = new VirtualClock();
  const peer = new MemoryConnection();
  const handler = new RecordingHandler();
  const server = new Http1ServerConnection(peer.connection, handler, { ...defaultHttp1Options, clock });
  peer.connection.resume();
  return { clock, peer, handler, server };
}
