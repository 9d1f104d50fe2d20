/** One bidirectional stream of messages to a control plane, whatever carries it. */

/** Calls come one at a time and never from inside `open`; after `onClose` none follows. */
export interface StreamEvents {
  /** Messages can be sent now. */
  onOpen(): void;
  /** @param message valid only during this call */
  onMessage(message: Uint8Array): void;
  /**
   * It could not be opened, or is over. Called exactly once, unless `close` was called before.
   *
   * @param status the gRPC status, if the control plane gave one
   */
  onClose(reason: string, status?: number): void;
}

export interface ClientStream {
  /** Only between `onOpen` and the end. */
  send(message: Uint8Array): void;
  /** Ends it; nothing is called any more. Idempotent. */
  close(): void;
}

export interface ClientTransport {
  open(events: StreamEvents): ClientStream;
}
