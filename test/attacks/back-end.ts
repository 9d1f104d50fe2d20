/** An application that writes down every byte it gets, and what requests they make to a reader of their own. */
import { once } from "node:events";
import net from "node:net";

import { MessageCutter, type MessageText } from "./http1-messages.ts";

export interface BackEndConnection {
  readonly socket: net.Socket;
  readonly cutter: MessageCutter;
  /** "" while it is open; else "end" or the code of its error. */
  closed: string;
}

/** What is written in answer to a request: its bytes, one character each. */
export type Answer = (request: MessageText, connection: BackEndConnection) => string;

/** 200 with "ok" and the target. */
export const plainAnswer: Answer = (request) => {
  const [method, target] = request.split(" ", 2);
  return `HTTP/1.1 200 OK\r\nX-Target: ${target}\r\nContent-Length: 2\r\n\r\n${method === "HEAD" ? "" : "ok"}`;
};

export class BackEnd {
  readonly connections: BackEndConnection[] = [];
  answer: Answer = plainAnswer;
  /** Called after each read. */
  onBytes: (connection: BackEndConnection) => void = () => {};
  #requests: MessageText[] = [];
  #faults: Error[] = [];
  readonly #server: net.Server;

  static async open(): Promise<BackEnd> {
    const server = net.createServer((socket) => backEnd.#serve(socket));
    const backEnd = new BackEnd(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return backEnd;
  }

  private constructor(server: net.Server) {
    this.#server = server;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** Whole requests since the last call. @throws Error when something came that is no request */
  take(): MessageText[] {
    const [fault] = this.#faults;
    if (fault !== undefined) throw fault;
    const requests = this.#requests;
    this.#requests = [];
    return requests;
  }

  /** Connections that are open. */
  get open(): readonly BackEndConnection[] {
    return this.connections.filter(({ closed }) => closed === "");
  }

  /** Connections that are open in the middle of a request. */
  get within(): number {
    return this.open.filter(({ cutter }) => cutter.rest !== "").length;
  }

  close(): void {
    this.#server.close();
    for (const { socket } of this.connections) socket.destroy();
  }

  #serve(socket: net.Socket): void {
    const connection: BackEndConnection = { socket, cutter: new MessageCutter(), closed: "" };
    this.connections.push(connection);
    socket.on("data", (chunk: Buffer) => {
      try {
        for (const request of connection.cutter.feed(chunk.toString("latin1"))) {
          this.#requests.push(request);
          socket.write(this.answer(request, connection), "latin1");
        }
        this.onBytes(connection);
      } catch (error) {
        this.#faults.push(error as Error);
        socket.destroy();
      }
    });
    socket.on("error", (error: NodeJS.ErrnoException) => (connection.closed = error.code ?? "error"));
    socket.on("close", () => (connection.closed ||= "end"));
  }
}
