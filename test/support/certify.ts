/** A certificate authority as a control plane runs it, on a real socket, and streams to it that say what a test wants. */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";

import { ControlIdentity, type IdentityOptions } from "../../src/control/identity/identity.ts";
import { listenXds } from "../../src/control/xds-server.ts";
import { systemClock } from "../../src/net/clock.ts";
import type { CredentialSource } from "../../src/net/credentials.ts";
import { VirtualClock } from "../../src/net/virtual-clock.ts";
import { IdentityClient } from "../../src/proxy/identity/identity-client.ts";
import { Logger } from "../../src/telemetry/log.ts";
import { CERTIFY_METHOD } from "../../src/xds/certify.ts";
import {
  CertifyRequestSchema,
  type CertifyResponse,
  CertifyResponseSchema,
} from "../../src/xds/gen/heddle/identity/v1/identity_pb.ts";
import { Http2Transport, type Secure } from "../../src/xds/http2-transport.ts";
import { AdsServer } from "../../src/xds/server.ts";
import { decodeJoinToken, joinProof } from "../../src/xds/join-token.ts";
import { until } from "./until.ts";

export interface TestAuthority {
  readonly identity: ControlIdentity;
  /** The mesh that it tells of. */
  readonly ads: AdsServer;
  /** Its own time; the wall clock goes with it. */
  readonly clock: VirtualClock;
  readonly address: { readonly host: string; readonly port: number };
  /** What its xDS port proves itself with. */
  readonly credentials: CredentialSource;
  readonly refusals: string[];
  /** Connections and streams of the xDS port. */
  readonly xdsRefusals: string[];
  readonly log: string[];
  now(): number;
  /** What is sent as a proof. */
  token(workload: string, over?: { namespace?: string; serviceAccount?: string }): string;
  /** What a sidecar is given. */
  joinToken(workload: string, over?: { namespace?: string; serviceAccount?: string }): string;
  /** A sidecar's client, with a token of its own. */
  client(workload: string, over?: Partial<ClientOptions>): TestClient;
  /** As `close`, but its clients go on. */
  stop(): Promise<void>;
  close(): Promise<void>;
}

interface ClientOptions {
  readonly token: string;
  readonly serviceAccount: string;
  readonly address: { readonly host: string; readonly port: number };
  /** Milliseconds by which its wall clock is ahead of the authority's. */
  readonly aheadMs: number;
  /** Milliseconds that its machine has slept: only its wall clock has noticed. */
  readonly slept: () => number;
  readonly random: () => number;
  /** It speaks to the authority in TLS. */
  readonly secure: Secure;
}

export interface TestClient {
  readonly client: IdentityClient;
  readonly clock: VirtualClock;
  readonly log: string[];
  /** Why it was refused for good. */
  readonly refused: string[];
}

interface AuthorityOptions extends IdentityOptions {
  /** Milliseconds by which its wall clock is behind the machine's, which is what TLS goes by. */
  readonly behindMs: number;
  /** 0 for any. */
  readonly port: number;
}

export async function startAuthority({
  behindMs = 0,
  port = 0,
  ...over
}: Partial<AuthorityOptions> = {}): Promise<TestAuthority> {
  const clock = new VirtualClock();
  const startedAt = Date.now() - behindMs;
  const now = (): number => startedAt + clock.now();
  const refusals: string[] = [];
  const log: string[] = [];
  const identity = await ControlIdentity.open({
    trustDomain: "cluster.local",
    lifetimeMs: 24 * 3_600_000,
    files: undefined,
    stateDirectory: undefined,
    clock,
    now,
    logger: logger(log),
    onRefused: (reason) => refusals.push(reason),
    ...over,
  });
  const credentials = await identity.serverCertificate();
  const xdsRefusals: string[] = [];
  const onForeign = (): void => void xdsRefusals.push("namespace");
  const ads = new AdsServer({ logger: logger(log), version: "test", onForeign });
  const listener = await listenXds({
    address: { host: "127.0.0.1", port },
    insecure: false,
    credentials,
    trustDomain: "cluster.local",
    clock: systemClock,
    now: over.now ?? now,
    logger: logger(log),
    onRefused: (reason) => xdsRefusals.push(reason),
    routes: (router) => {
      identity.register(router);
      ads.register(router);
    },
  });
  const clients: IdentityClient[] = [];

  const joinToken: TestAuthority["token"] = (workload, { namespace = "shop", serviceAccount = "price" } = {}) => {
    const made = identity.joinToken({ namespace, serviceAccount, workload });
    if (typeof made === "string") throw new Error(made);
    return made.token;
  };
  const token: TestAuthority["token"] = (...of) => joinProof(decodeJoinToken(joinToken(...of)));
  const stop = async (): Promise<void> => {
    credentials.close();
    ads.close();
    await identity.close();
    await listener.close();
  };
  return {
    identity,
    ads,
    clock,
    address: listener.address,
    credentials,
    refusals,
    xdsRefusals,
    log,
    now,
    token,
    joinToken,
    client: (workload, options = {}) => {
      const {
        serviceAccount = "price",
        address = listener.address,
        aheadMs = 0,
        slept = () => 0,
        random = () => 0.5,
        secure,
      } = options;
      const clientClock = new VirtualClock();
      const clientLog: string[] = [];
      const refused: string[] = [];
      const client = new IdentityClient({
        identity: { trustDomain: "cluster.local", namespace: "shop", serviceAccount },
        workload,
        token: options.token ?? token(workload, { serviceAccount }),
        transport: new Http2Transport(address, systemClock, CERTIFY_METHOD, secure),
        clock: clientClock,
        now: () => startedAt + aheadMs + clientClock.now() + slept(),
        random,
        logger: logger(clientLog),
        onRefused: (reason) => refused.push(reason),
      });
      clients.push(client);
      return { client, clock: clientClock, log: clientLog, refused };
    },
    stop,
    close: async () => {
      for (const client of clients) client.close();
      await stop();
    },
  };
}

export function logger(lines: string[]): Logger {
  return new Logger({ level: "debug", format: "plain", sink: { write: (line) => lines.push(line) } });
}

/** One stream for certificates, by hand. */
export class RawCertify {
  readonly responses: CertifyResponse["response"][] = [];
  /** Why it ended; undefined while it is open. */
  ended: { readonly reason: string; readonly status: number | undefined } | undefined;
  readonly #stream;

  constructor(address: { host: string; port: number }) {
    this.#stream = new Http2Transport(address, systemClock, CERTIFY_METHOD).open({
      onOpen: () => {},
      onMessage: (bytes) => this.responses.push(fromBinary(CertifyResponseSchema, Uint8Array.from(bytes)).response),
      onClose: (reason, status) => (this.ended = { reason, status }),
    });
  }

  async nonce(): Promise<Uint8Array> {
    await until("the challenge", () => this.responses.length > 0);
    const [first] = this.responses;
    if (first?.case !== "challenge") throw new Error(`expected a challenge, found ${first?.case}`);
    return first.value.nonce;
  }

  send(request: NonNullable<MessageInitShape<typeof CertifyRequestSchema>["request"]>): void {
    this.#stream.send(toBinary(CertifyRequestSchema, create(CertifyRequestSchema, { request })));
  }

  /** @returns the gRPC status and what it says */
  async end(): Promise<{ readonly reason: string; readonly status: number | undefined }> {
    await until("the stream has ended", () => this.ended !== undefined);
    return this.ended ?? { reason: "", status: undefined };
  }

  async certificate(): Promise<Uint8Array[]> {
    await until("a certificate", () => {
      if (this.ended !== undefined) throw new Error(this.ended.reason);
      return this.responses.some((response) => response.case === "certificate");
    });
    const found = this.responses.findLast((response) => response.case === "certificate");
    return found?.case === "certificate" ? found.value.chain : [];
  }

  close(): void {
    this.#stream.close();
  }
}
