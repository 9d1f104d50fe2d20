/** A control plane's HTTP API with fixed answers. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type {
  AuthzRow,
  DocumentOrigin,
  Explanation,
  GeneratedDocuments,
  EdgeRow,
  EndpointRow,
  IdentityAnswer,
  StatRow,
  WorkloadRow,
} from "../control-client.ts";

export interface FakeRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly authorization: string | undefined;
  readonly body: unknown;
}

/** By method and path, without the query: "GET /api/v1/stat". */
export type FakeAnswers = Readonly<Record<string, { readonly status?: number; readonly body: string | object }>>;

export class FakeControl {
  readonly requests: FakeRequest[] = [];
  readonly #server: Server;

  constructor(answers: FakeAnswers) {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const { method = "", url: target = "", headers } = request;
        const text = Buffer.concat(chunks).toString();
        const { authorization } = headers;
        this.requests.push({ method, target, authorization, body: text === "" ? undefined : JSON.parse(text) });
        const { status = 200, body } = answers[`${method} ${target.split("?")[0]}`] ?? { status: 404, body: "nothing" };
        response.writeHead(status, { "content-type": "application/json", connection: "close" });
        response.end(typeof body === "string" ? body : JSON.stringify(body));
      });
    });
  }

  static async start(answers: FakeAnswers): Promise<FakeControl> {
    const fake = new FakeControl(answers);
    await new Promise<void>((resolve) => {
      fake.#server.listen(0, "127.0.0.1", resolve);
    });
    return fake;
  }

  /** HOST:PORT */
  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }
}

const idle = {
  success: null,
  rps: 0,
  latency_ms_p50: null,
  latency_ms_p95: null,
  latency_ms_p99: null,
  tcp_open_connections: 0,
  tcp_read_bytes_rate: 0,
  tcp_write_bytes_rate: 0,
  requests: 0,
  failures: 0,
};

export const STAT_ROWS: readonly StatRow[] = [
  {
    namespace: "default",
    kind: "service",
    name: "gateway",
    meshed: { ready: 1, total: 1 },
    success: 0.9967,
    rps: 20.04,
    latency_ms_p50: 5.4,
    latency_ms_p95: 31,
    latency_ms_p99: 96.2,
    tcp_open_connections: 2,
    tcp_read_bytes_rate: 2514.25,
    tcp_write_bytes_rate: 7731,
    requests: 1202,
    failures: 4,
  },
  { ...idle, namespace: "default", kind: "service", name: "price-grpc", meshed: { ready: 0, total: 2 } },
];

export const EDGE_ROWS: readonly EdgeRow[] = [
  {
    src: "gateway",
    src_namespace: "default",
    dst: "price",
    dst_namespace: "shop",
    client_id: "gateway.default.serviceaccount.identity.linkerd.cluster.local",
    server_id: "price.batch.shop.serviceaccount.identity.linkerd.cluster.local",
    no_tls_reason: "",
  },
  {
    src: "keyboard",
    src_namespace: "default",
    dst: "legacy",
    dst_namespace: "default",
    client_id: "",
    server_id: "",
    no_tls_reason: "not_provided_by_service_discovery",
  },
];

const server: DocumentOrigin = {
  kind: "policy.linkerd.io/v1beta3/Server",
  namespace: "default",
  name: "price",
  file: "/shop/policy.yaml",
  line: 1,
};
const callers: DocumentOrigin = {
  ...server,
  kind: "policy.linkerd.io/v1alpha1/AuthorizationPolicy",
  name: "callers",
  line: 9,
};

const document = { namespace: "default", service: "price", port: 80, dialect: "linkerd" };

export const AUTHZ_ROWS: readonly AuthzRow[] = [
  {
    ...document,
    service: "gateway",
    dialect: "mesh",
    action: "all-unauthenticated",
    document: { kind: "default", namespace: "", name: "all-unauthenticated", file: "", line: 0 },
    allowed: 0,
    denied: 0,
  },
  { ...document, action: "allow", document: callers, allowed: 120, denied: 0 },
  { ...document, action: "else deny", document: server, allowed: 0, denied: 3 },
];

export const EXPLANATION: Explanation = {
  allowed: false,
  call: {
    from: "keyboard.default",
    identity: "spiffe://cluster.local/ns/default/sa/keyboard",
    address: "127.0.0.1",
    to: "price.default",
    port: 80,
    protocol: "http",
    request: { method: "GET", path: "/", host: "price.default" },
  },
  verdicts: [
    {
      workloads: ["price-1"],
      allowed: false,
      reason: "no rule allows it, so it is refused by Server default/price (/shop/policy.yaml:1)",
      by: server,
      audited: [callers],
      asks: [],
      suggestions: ["AuthorizationPolicy default/callers (/shop/policy.yaml:9) would allow it if …"],
    },
    {
      workloads: ["price-2", "price-3"],
      allowed: true,
      reason: "allowed by AuthorizationPolicy default/callers (/shop/policy.yaml:9)",
      by: callers,
      audited: [],
      asks: ["opa"],
      suggestions: [],
    },
  ],
  notes: ["the token is taken for valid: its signature is not looked at here"],
};

export const GENERATED: GeneratedDocuments = {
  documents: [
    { apiVersion: "policy.linkerd.io/v1beta3", kind: "Server", metadata: { name: "price-80" } },
    { apiVersion: "policy.linkerd.io/v1alpha1", kind: "AuthorizationPolicy", metadata: { name: "price-80" } },
  ],
  notes: ["callers without a sidecar are not seen, and are refused"],
};

const certificate = {
  fingerprint: "49b8d92a9e1f4bd70210203556bee17d55186464c27fff6fcc6a0ef1a80d8461",
  subject: "O=heddle, CN=heddle root 52a0a42610ad976f",
  notBefore: "2026-11-21T12:11:30.000Z",
  notAfter: "2036-11-18T12:12:30.000Z",
};

const issuer = {
  ...certificate,
  fingerprint: "beaac9c5a97f8354eb87a29e054b3d26c7aaf8e6244de2ca945e5926adec7f66",
  subject: "O=heddle, CN=heddle issuer e6183eb87aca154b",
  notAfter: "2027-11-21T12:12:30.000Z",
};

const proxy = {
  namespace: "default",
  workload: "price-1",
  identity: "spiffe://cluster.local/ns/default/sa/price",
  connected: true,
  roots: [certificate.fingerprint],
  issuer: issuer.fingerprint,
  notAfter: "2026-11-22T12:12:30.000Z",
};

export const IDENTITY: IdentityAnswer = {
  trustDomain: "cluster.local",
  source: "embedded",
  leafLifetimeSeconds: 86_400,
  roots: [{ ...certificate, pem: "-----BEGIN CERTIFICATE-----\n", retiring: false }],
  issuer: { ...issuer, chain: ["-----BEGIN CERTIFICATE-----\n"] },
  rotation: null,
  proxies: [],
  problem: "",
  kept: true,
};

const newRoot = { ...certificate, fingerprint: certificate.fingerprint.replaceAll("4", "7") };

/** In the middle of a rotation. */
export const IDENTITY_ROTATING: IdentityAnswer = {
  ...IDENTITY,
  source: "files",
  leafLifetimeSeconds: 90,
  roots: [
    { ...certificate, pem: "-----BEGIN CERTIFICATE-----\n", retiring: true },
    { ...newRoot, pem: "-----BEGIN CERTIFICATE-----\n", retiring: false },
  ],
  rotation: {
    phase: "trust",
    startedAt: "2026-11-21T13:00:00.000Z",
    waitingFor: [
      { namespace: "default", workload: "price-2", lost: true },
      { namespace: "default", workload: "keyboard", lost: false },
    ],
    returning: false,
  },
  proxies: [
    { ...proxy, roots: [certificate.fingerprint, newRoot.fingerprint] },
    { ...proxy, workload: "price-2", connected: false, issuer: "0".repeat(64) },
    { ...proxy, workload: "keyboard", roots: [], issuer: null, notAfter: null },
  ],
};

const endpoint: EndpointRow = {
  namespace: "default",
  service: "price",
  port: 80,
  portName: "http",
  protocol: "http",
  workload: "price-1",
  ip: "127.0.0.1",
  endpointPort: 20_003,
  health: "healthy",
  weight: 1,
  labels: {},
  meshed: true,
};

export const ENDPOINT_ROWS: readonly EndpointRow[] = [
  endpoint,
  { ...endpoint, workload: "price-2", endpointPort: 20_007, health: "unhealthy", labels: { version: "slow" } },
  { ...endpoint, service: "legacy", workload: "vm-7", ip: "10.0.0.7", endpointPort: 8080, meshed: false },
];

const workload: WorkloadRow = {
  name: "price-1",
  namespace: "default",
  serviceAccount: "price",
  labels: {},
  locality: { region: "", zone: "", subZone: "" },
  weight: 1,
  health: "healthy",
  ports: [
    {
      service: "price",
      name: "http",
      port: 80,
      protocol: "http",
      address: "127.0.0.1",
      addressPort: 20_003,
      meshed: true,
    },
  ],
  admin: "127.0.0.1:20005",
  outbound: "127.0.0.1:20004",
  upstreams: [{ authority: "product", address: "127.0.0.1:20002" }],
  ttlSeconds: 15,
};

export const WORKLOAD_ROWS: readonly WorkloadRow[] = [
  workload,
  // The control plane says "" for what it was not told: here a workload that has no sidecar.
  { ...workload, name: "legacy", ports: [], admin: "", outbound: "", upstreams: [] },
  { ...workload, name: "keyboard", ports: [], admin: "127.0.0.1:4191", outbound: "127.0.0.1:4140", upstreams: [] },
];
