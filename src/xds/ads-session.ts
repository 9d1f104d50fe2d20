/** What both variants of an aggregated xDS stream have in common, whatever carries it. */
import { spiffeId, type WorkloadIdentity } from "../model/identity.ts";
import { DEFAULT_NAMESPACE } from "./authority.ts";
import type { Node } from "./gen/envoy/config/core/v3/base_pb.ts";
import type { NodeStatus, Nack } from "./node.ts";
import { Refusals } from "./refusals.ts";
import { shortTypeName } from "./resource-types.ts";
import type { Snapshot } from "./snapshot.ts";
import type { Logger } from "../telemetry/log.ts";

/** Names of one type that one stream may be subscribed to: as many as a proxy of ours follows. */
export const SUBSCRIPTIONS_MAX = 10_000;

/** Bytes of resources after which a response is closed and the rest goes into the next. gRPC clients take 4 MiB by default. */
export const RESPONSE_BYTES_SOFT_MAX = 1024 * 1024;

/** Characters of a resource name. The longest that names anything of ours is a third of it. */
export const NAME_LENGTH_MAX = 1_000;

/** Responses of one type that may wait for an answer; of more, the oldest are not known any more when it comes. */
export const UNANSWERED_MAX = 64;

const NACK_MESSAGE_MAX = 2_000;
const UNSERVED_TYPES_MAX = 16;

/** A request that a stream cannot go on after. */
export class AdsError extends Error {
  override name = "AdsError";
  readonly code: "invalid_argument" | "resource_exhausted" | "permission_denied";

  constructor(code: AdsError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * One stream. It keeps no queue: `next` computes what the client lacks at the moment when it can take it, so a slow
 * client skips the states in between.
 */
export interface AdsSession<Request, Response> {
  readonly record: StreamRecord;
  /** @throws {@link AdsError} */
  handle(request: Request): void;
  /** The world is another one. */
  meshChanged(snapshot: Snapshot): void;
  /** The next response, or undefined while the client has everything. */
  next(): Response | undefined;
}

/** Who is there, and what they said to our responses. */
export class StreamRecord {
  /** Names subscribed to, over all types. */
  subscriptions = 0;
  readonly #connectedSince: Date;
  readonly #now: () => Date;
  readonly #logger: Logger;
  readonly #identity: WorkloadIdentity | undefined;
  readonly #unserved = new Set<string>();
  #id = "";
  #service = "";
  #program = "";
  #version = "";
  #metadata: Record<string, unknown> = {};
  #acked = 0;
  #nacked = 0;
  #lastNack: Nack | null = null;
  readonly #refusals = new Refusals();

  /**
   * @param now the wall clock
   * @param identity what the client has proved to be; undefined if nobody has to
   */
  constructor(logger: Logger, now: () => Date, identity?: WorkloadIdentity) {
    this.#logger = logger;
    this.#now = now;
    this.#identity = identity;
    this.#connectedSince = now();
  }

  /** Where the client's bare names are looked up. */
  get namespace(): string {
    return this.#text("namespace") || this.#identity?.namespace || DEFAULT_NAMESPACE;
  }

  /**
   * Takes in who the client says it is; it need only do so in its first request.
   *
   * @throws {@link AdsError} if it says another namespace than that of what it has proved to be
   */
  identify(node: Node | undefined): void {
    if (node === undefined) return;
    this.#id = node.id;
    this.#service = node.cluster;
    this.#program = node.userAgentName;
    this.#version = node.userAgentVersionType.value ?? "";
    this.#metadata = node.metadata ?? {};
    if (this.#identity === undefined || this.namespace === this.#identity.namespace) return;
    const proved = spiffeId(this.#identity);
    throw new AdsError("permission_denied", `the node's namespace is not that of its certificate, ${proved}`);
  }

  /**
   * @param count names of that type that the stream is subscribed to already
   * @throws {@link AdsError} beyond {@link SUBSCRIPTIONS_MAX}, or if the name is over {@link NAME_LENGTH_MAX}
   */
  subscribed(name: string, count: number): void {
    if (name.length > NAME_LENGTH_MAX) {
      throw new AdsError(
        "invalid_argument",
        `a resource name of ${name.length} characters; at most ${NAME_LENGTH_MAX}`,
      );
    }
    if (count >= SUBSCRIPTIONS_MAX) {
      throw new AdsError(
        "resource_exhausted",
        `more than ${SUBSCRIPTIONS_MAX} resource names of one type on one stream`,
      );
    }
    this.subscriptions++;
  }

  unsubscribed(typeUrl: string, name: string): void {
    this.subscriptions--;
    this.#refusals.settle(typeUrl, [name]);
  }

  /** A request for a type that we have none of gets no answer, so that clients of other versions can live with us. */
  unserved(typeUrl: string): void {
    if (this.#unserved.has(typeUrl) || this.#unserved.size === UNSERVED_TYPES_MAX) return;
    this.#unserved.add(typeUrl);
    this.#logger.warn("an xDS client asks for a type that is not served", {
      node: this.#id,
      type: typeUrl.slice(0, NAME_LENGTH_MAX),
    });
  }

  /** @param names what the accepted response was about; undefined: it was all that there is of the type */
  acked(typeUrl: string, names: readonly string[] | undefined): void {
    this.#acked++;
    this.#refusals.settle(typeUrl, names);
  }

  /** @param names the resources of the response that was refused */
  nacked(typeUrl: string, names: readonly string[], message: string): void {
    this.#nacked++;
    const named = names.find((name) => message.includes(`"${name}"`)) ?? names.find((name) => message.includes(name));
    const others = names.length > 1 ? ` and ${names.length - 1} more` : "";
    const nack = {
      type: shortTypeName(typeUrl),
      name: named ?? `${names[0] ?? ""}${others}`,
      message: message.slice(0, NACK_MESSAGE_MAX),
      at: this.#now(),
    };
    this.#lastNack = nack;
    this.#refusals.refuse(typeUrl, names, message, nack.at);
    this.#logger.warn("an xDS client refused a resource", {
      node: this.#id,
      type: nack.type,
      name: nack.name,
      reason: nack.message,
    });
  }

  status(): NodeStatus {
    return {
      id: this.#id,
      identity: this.#identity === undefined ? "" : spiffeId(this.#identity),
      program: this.#program,
      version: this.#version,
      workload: this.#text("workload"),
      namespace: this.#text("namespace"),
      service: this.#text("service") || this.#service,
      admin: this.#text("admin"),
      connectedSince: this.#connectedSince,
      subscriptions: this.subscriptions,
      acked: this.#acked,
      nacked: this.#nacked,
      lastNack: this.#lastNack,
      refused: this.#refusals.all,
    };
  }

  #text(key: string): string {
    const value = this.#metadata[key];
    return typeof value === "string" ? value : "";
  }
}
