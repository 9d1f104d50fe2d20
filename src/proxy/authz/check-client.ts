/**
 * One external authorizer, asked over one HTTP/2 connection that is kept: unary gRPC over our own codec. What cannot be
 * sent at once waits, up to a bound, and everything ends within its time.
 *
 *   idle ──ask──▶ connecting ──▶ connected ──lost, or told to go──▶ idle
 */
import { type MessageInitShape, fromBinary, toBinary, create } from "@bufbuild/protobuf";

import type { ExternalAuthorizer } from "../../model/inbound-policy.ts";
import type { Clock, Timer } from "../../net/clock.ts";
import { connect, type Connection } from "../../net/connection.ts";
import {
  type ClientOwner,
  type ClientStream,
  type HeaderList,
  ResetCause,
  type ResponseHead,
  type ResponseReceiver,
} from "../../protocol/exchange.ts";
import { decodeGrpcMessage, formatGrpcTimeout, grpcCodeName, grpcStatusOf } from "../../protocol/grpc.ts";
import { getHeader } from "../../protocol/headers.ts";
import { Http2ClientConnection } from "../../protocol/http2/client.ts";
import { defaultHttp2Options } from "../../protocol/http2/options.ts";
import {
  CheckRequestSchema,
  type CheckResponse,
  CheckResponseSchema,
} from "../../xds/gen/envoy/service/auth/v3/external_auth_pb.ts";
import { frameMessage, MessageReader } from "../../xds/grpc-frames.ts";

/** Questions that wait for a connection, or for room on it. */
export const QUESTIONS_MAX = 1_000;

const PATH = "/envoy.service.auth.v3.Authorization/Check";

export type Attributes = MessageInitShape<typeof CheckRequestSchema>;

/** @param answer undefined if there is none, and then `failure` says why */
export type CheckDone = (answer: CheckResponse | undefined, failure: string) => void;

export class CheckClient implements ClientOwner {
  readonly #authorizer: ExternalAuthorizer;
  readonly #clock: Clock;
  readonly #waiting: Question[] = [];
  #connection: Http2ClientConnection | undefined;
  #giveUpConnecting: (() => void) | undefined;
  /** Answers that the connection has given. */
  #answers = 0;
  #closed = false;

  constructor(authorizer: ExternalAuthorizer, clock: Clock) {
    this.#authorizer = authorizer;
    this.#clock = clock;
  }

  /** @returns a function that gives the question up; `done` is not called then. It is never called from inside */
  ask(attributes: Attributes, done: CheckDone): () => void {
    const bytes = frameMessage(toBinary(CheckRequestSchema, create(CheckRequestSchema, attributes)));
    const question = new Question(bytes, this.#authorizer, this.#clock, done);
    if (this.#waiting.length >= QUESTIONS_MAX) {
      question.fail(`${QUESTIONS_MAX} questions wait already`);
    } else {
      this.#waiting.push(question);
      this.#send();
    }
    return () => question.cancel();
  }

  close(): void {
    this.#closed = true;
    this.#giveUpConnecting?.();
    this.#connection?.destroy();
    this.#failAll("the policy has changed");
  }

  onAvailable(): void {
    this.#send();
  }

  onClose(): void {
    this.#connection = undefined;
    if (this.#waiting.some(({ over }) => !over)) this.#send();
  }

  #send(): void {
    const connection = this.#connection;
    if (connection === undefined || !connection.usable) {
      this.#connect();
      return;
    }
    while (this.#waiting.length > 0 && connection.available > 0) {
      const question = this.#waiting.shift() as Question;
      if (!question.over) this.#put(question, connection);
    }
  }

  #put(question: Question, connection: Http2ClientConnection): void {
    const before = this.#answers;
    question.onAnswer = () => this.#answers++;
    // A host may be gone without a word: then another connection is better than the same once more.
    question.onElapsed = () => {
      if (this.#answers === before && this.#connection === connection) connection.destroy();
    };
    question.send(connection);
  }

  #connect(): void {
    if (this.#giveUpConnecting !== undefined || this.#closed) return;
    const { address, timeoutMs } = this.#authorizer;
    const { host, port } = split(address);
    this.#giveUpConnecting = connect({ address: host, port, timeoutMs }, (error, connection) => {
      this.#giveUpConnecting = undefined;
      if (connection === undefined) this.#failAll(error?.message ?? "no connection");
      else this.#connected(connection);
    });
  }

  #connected(connection: Connection): void {
    this.#answers = 0;
    this.#connection = new Http2ClientConnection(connection, this, { ...defaultHttp2Options, clock: this.#clock });
    connection.resume();
    this.#send();
  }

  #failAll(reason: string): void {
    for (const question of this.#waiting.splice(0)) question.fail(reason);
  }
}

/** One call of Check. */
class Question implements ResponseReceiver {
  over = false;
  onAnswer: (() => void) | undefined;
  onElapsed: (() => void) | undefined;
  readonly #bytes: Buffer;
  readonly #authorizer: ExternalAuthorizer;
  readonly #done: CheckDone;
  readonly #timer: Timer;
  readonly #reader: MessageReader;
  #answer: Uint8Array | undefined;
  #stream: ClientStream | undefined;

  constructor(bytes: Buffer, authorizer: ExternalAuthorizer, clock: Clock, done: CheckDone) {
    this.#bytes = bytes;
    this.#authorizer = authorizer;
    this.#done = done;
    this.#timer = clock.after(authorizer.timeoutMs, () => this.#elapsed());
    this.#reader = new MessageReader((message) => (this.#answer = Buffer.from(message)));
  }

  send(connection: Http2ClientConnection): void {
    const { address, timeoutMs } = this.#authorizer;
    const head = {
      method: "POST",
      scheme: "http",
      authority: address,
      path: PATH,
      headers: ["content-type", "application/grpc", "te", "trailers", "user-agent", "heddle"],
      version: "2" as const,
      upgrade: "",
    };
    head.headers.push("grpc-timeout", formatGrpcTimeout(timeoutMs));
    this.#stream = connection.open(head, false, this);
    this.#stream.sendData(this.#bytes, true);
  }

  cancel(): void {
    if (!this.#finish()) return;
    this.#stream?.reset(new ResetCause("cancelled", "nobody waits for the answer"));
  }

  fail(reason: string): void {
    if (this.#finish()) queueMicrotask(() => this.#done(undefined, reason));
  }

  onHead(head: ResponseHead, end: boolean): void {
    if (head.status < 200) return;
    this.onAnswer?.();
    if (head.status !== 200) this.#giveUp(`HTTP status ${head.status}`);
    else if (end) this.#ended(head.headers);
  }

  onData(chunk: Buffer, end: boolean): void {
    if (this.over) return;
    try {
      this.#reader.push(chunk);
    } catch (error) {
      this.#giveUp(error instanceof Error ? error.message : String(error));
      return;
    }
    if (end) this.fail("the answer ended without a gRPC status");
  }

  onTrailers(trailers: HeaderList): void {
    this.#ended(trailers);
  }

  onReset(cause: ResetCause): void {
    this.fail(`${cause.code}: ${cause.detail}`);
  }

  onWritable(): void {}

  #ended(fields: HeaderList): void {
    const status = grpcStatusOf(fields);
    if (status !== 0) {
      const message = decodeGrpcMessage(getHeader(fields, "grpc-message") ?? "");
      this.fail(`gRPC status ${status === undefined ? "missing" : grpcCodeName(status)}: ${message}`);
    } else if (this.#answer === undefined) {
      this.fail("an answer without a message");
    } else {
      this.#decode(this.#answer);
    }
  }

  #decode(bytes: Uint8Array): void {
    try {
      const answer = fromBinary(CheckResponseSchema, bytes);
      if (this.#finish()) this.#done(answer, "");
    } catch {
      this.fail("an answer that is no CheckResponse");
    }
  }

  #elapsed(): void {
    this.#giveUp(`no answer within ${this.#authorizer.timeoutMs} ms`);
    this.onElapsed?.();
  }

  #giveUp(reason: string): void {
    this.#stream?.reset(new ResetCause("cancelled", reason));
    this.fail(reason);
  }

  #finish(): boolean {
    if (this.over) return false;
    this.over = true;
    this.#timer.cancel();
    return true;
  }
}

/** "host:port" or "[::1]:port". */
function split(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(":");
  return { host: address.slice(0, colon).replace(/^\[(.*)\]$/, "$1"), port: Number(address.slice(colon + 1)) };
}
