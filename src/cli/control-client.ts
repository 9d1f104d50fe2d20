/** The control plane's HTTP API as commands see it. */
import * as http from "node:http";
import type { Socket } from "node:net";
import { apiTokenProblem } from "../control/api-token.ts";
import { findToken, type FoundToken, tokenFolder } from "../control/token-file.ts";
import type { Diagnostic } from "../dialects/diagnostic.ts";
import type { Workload } from "../model/workload.ts";
import { Failure, UsageError } from "./errors.ts";
import { API_TOKEN_VARIABLE, type Io } from "./io.ts";

export const DEFAULT_CONTROL = "127.0.0.1:4180";

/** The flag with which every command that talks to the control plane is told where it is. */
export const CONTROL_FLAG = {
  control: {
    type: "string",
    value: "HOST:PORT",
    help: `Address of the control plane's API (default: the variable HEDDLE_CONTROL, or ${DEFAULT_CONTROL})`,
  },
} as const;

/** Milliseconds that an answer may take. */
export const ANSWER_TIMEOUT_MS = 5_000;

/** Bytes of one answer; what is longer is not read. */
export const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

/** What the control plane says of itself. */
export interface About {
  readonly version: string;
  /** Where it serves xDS: "ip:port", or "" before it does. */
  readonly xds: string;
  /** Other hosts are served there in plain, too. */
  readonly insecureXds: boolean;
}

export interface StatRow {
  readonly namespace: string;
  readonly kind: "service" | "workload";
  readonly name: string;
  readonly meshed: { readonly ready: number; readonly total: number };
  /** 0 to 1; null: no traffic. */
  readonly success: number | null;
  readonly rps: number;
  readonly latency_ms_p50: number | null;
  readonly latency_ms_p95: number | null;
  readonly latency_ms_p99: number | null;
  readonly tcp_open_connections: number;
  readonly tcp_read_bytes_rate: number;
  readonly tcp_write_bytes_rate: number;
  readonly requests: number;
  readonly failures: number;
}

/** The fields of linkerd's `viz edges -o json`; identities are linkerd's names in full, "" where there was no TLS. */
export interface EdgeRow {
  readonly src: string;
  readonly src_namespace: string;
  readonly dst: string;
  readonly dst_namespace: string;
  readonly client_id: string;
  readonly server_id: string;
  /** "" if it is secured. */
  readonly no_tls_reason: string;
}

/** Where something is written. */
export interface DocumentOrigin {
  /** "default" for what no document says. */
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** "" where there is no document. */
  readonly file: string;
  readonly line: number;
}

export interface AuthzRow {
  readonly namespace: string;
  readonly service: string;
  readonly port: number;
  readonly dialect: string;
  readonly action: string;
  readonly document: DocumentOrigin;
  /** Within the window. */
  readonly allowed: number;
  readonly denied: number;
}

export interface ExplainQuestion {
  readonly from: string;
  readonly to: string;
  readonly namespace?: string;
  readonly port?: number;
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly plaintext: boolean;
  readonly tcp: boolean;
  readonly address?: string;
}

export interface ExplainVerdict {
  readonly workloads: readonly string[];
  readonly allowed: boolean;
  readonly reason: string;
  readonly by: DocumentOrigin;
  readonly audited: readonly DocumentOrigin[];
  /** External authorizers that would still be asked. */
  readonly asks: readonly string[];
  readonly suggestions: readonly string[];
}

export interface Explanation {
  readonly allowed: boolean;
  readonly call: {
    readonly from: string;
    readonly identity: string;
    readonly address: string;
    readonly to: string;
    readonly port: number;
    readonly protocol: string;
    /** null: bytes that nobody looks at. */
    readonly request: { readonly method: string; readonly path: string; readonly host: string } | null;
  };
  readonly verdicts: readonly ExplainVerdict[];
  readonly notes: readonly string[];
}

export interface GeneratedDocuments {
  readonly documents: readonly object[];
  readonly notes: readonly string[];
}

export interface EndpointRow {
  readonly namespace: string;
  readonly service: string;
  /** The number of the service's port. */
  readonly port: number;
  readonly portName: string;
  readonly protocol: string;
  readonly workload: string;
  readonly ip: string;
  readonly endpointPort: number;
  readonly health: string;
  readonly weight: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly meshed: boolean;
}

interface CertificateAnswer {
  /** SHA-256 in hexadecimal. */
  readonly fingerprint: string;
  readonly subject: string;
  readonly notBefore: string;
  readonly notAfter: string;
}

/** The certificate authority, and what each proxy goes by. Times are as in ISO 8601. */
export interface IdentityAnswer {
  readonly trustDomain: string;
  /** "embedded" or "files". */
  readonly source: string;
  readonly leafLifetimeSeconds: number;
  /** `retiring`: trusted until the rotation is complete. */
  readonly roots: readonly (CertificateAnswer & { readonly pem: string; readonly retiring: boolean })[];
  /** `chain`: PEM, itself and those between it and a root. */
  readonly issuer: CertificateAnswer & { readonly chain: readonly string[] };
  readonly rotation: {
    readonly phase: "trust" | "renew" | "retire";
    readonly startedAt: string;
    readonly waitingFor: readonly { readonly namespace: string; readonly workload: string; readonly lost: boolean }[];
    /** The control plane was started a moment ago and waits for proxies to come back. */
    readonly returning: boolean;
  } | null;
  readonly proxies: readonly {
    readonly namespace: string;
    readonly workload: string;
    readonly identity: string;
    readonly connected: boolean;
    /** Fingerprints of the roots that it trusts, and of the certificate that signed its own; null: not known yet. */
    readonly roots: readonly string[];
    readonly issuer: string | null;
    readonly notAfter: string | null;
  }[];
  /** Why what the files of the authority say now is not in force; "" if it is. */
  readonly problem: string;
  /** A restarted control plane goes on with the same authority. */
  readonly kept: boolean;
}

/** Where the mesh comes from. */
export interface SourceRow {
  readonly name: string;
  /** "file", "resources", "registry" or "policies". */
  readonly kind: string;
  readonly state: "ok" | "bad";
  /** When what is in force was read, ISO 8601; null: never yet. */
  readonly loadedAt: string | null;
  readonly diagnostics: readonly Diagnostic[];
  /** What is wrong and stands in no one place of a file. */
  readonly problems?: readonly string[];
}

/** One xDS stream. The texts are "" where the client did not say. */
export interface ProxyRow {
  readonly id: string;
  /** "heddle" for a sidecar. */
  readonly program: string;
  readonly version: string;
  readonly workload: string;
  readonly namespace: string;
  readonly admin: string;
  /** What it has refused, and accepted no other version of since. */
  readonly refused: readonly {
    readonly type: string;
    readonly name: string;
    readonly message: string;
    /** ISO 8601 */
    readonly at: string;
  }[];
  /** null: it has not said. */
  readonly ready: boolean | null;
  /** Rounds of a second since it has given its metrics, and why it did not in the last. */
  readonly unanswered: number;
  readonly failure: string;
}

/** What a supervisor tells about one instance that it runs. */
export interface WorkloadRegistration extends Omit<Workload, "name" | "namespace"> {
  /** Its sidecar's admin and outbound listeners, as "ip:port". */
  readonly admin?: string;
  readonly outbound?: string;
  readonly upstreams?: readonly { readonly authority: string; readonly address: string }[];
  /** 5 to 3600: without a renewal for so long, the workload is forgotten. */
  readonly ttlSeconds: number;
}

/** Whom a join token is for. */
export interface TokenSubject {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly workload: string;
}

export interface JoinToken {
  readonly token: string;
  /** Of the mesh that is joined. */
  readonly trustDomain: string;
}

export interface WorkloadRow extends WorkloadRegistration {
  readonly name: string;
  readonly namespace: string;
}

export interface WindowQuery {
  readonly windowSeconds: number;
  readonly by: "service" | "workload";
  /** undefined: all. */
  readonly namespace?: string;
}

/** An answer of the control plane that is an error. */
export class ControlError extends Failure {
  readonly status: number;

  constructor(status: number, message: string, hint: string) {
    super(message, hint);
    this.status = status;
  }
}

export class ControlClient {
  /** HOST:PORT */
  readonly address: string;
  readonly #io: Pick<Io, "env" | "apiToken">;

  /**
   * @param io has what changes are made with: the variable HEDDLE_API_TOKEN, else the file that a control plane leaves for
   * commands of its own user
   * @throws UsageError if the variable has no token
   */
  constructor(address: string, io: Pick<Io, "env" | "apiToken">) {
    this.address = address;
    this.#io = io;
    givenApiToken(io);
  }

  /**
   * The client for the address in `--control`, else HEDDLE_CONTROL, else the default.
   *
   * @throws UsageError if that is no address
   */
  static from(flag: string | undefined, io: Io): ControlClient {
    const address = flag ?? (io.env["HEDDLE_CONTROL"] || DEFAULT_CONTROL);
    const port = Number(/^[^\s/@?#]+:(\d{1,5})$/.exec(address)?.[1] ?? "0");
    if (port < 1 || port > 65_535) {
      const name = flag === undefined ? "HEDDLE_CONTROL" : "--control";
      throw new UsageError(`${name}: expected HOST:PORT like ${DEFAULT_CONTROL}, found "${address}"`);
    }
    return new ControlClient(address, io);
  }

  async about(): Promise<About> {
    const path = "/api/v1/version";
    const answer = (await this.#request("GET", path)) as Partial<Record<keyof About, unknown>> | null;
    const { version, xds, insecureXds } = answer ?? {};
    if (typeof version !== "string") throw this.#stranger("GET", path, 200);
    return { version, xds: typeof xds === "string" ? xds : "", insecureXds: insecureXds === true };
  }

  /** @param windowSeconds over how long rates and quantiles are taken */
  async stat(query: WindowQuery): Promise<StatRow[]> {
    return (await this.#request("GET", `/api/v1/stat?${windowParameters(query)}`)) as StatRow[];
  }

  async edges(query: WindowQuery): Promise<EdgeRow[]> {
    return (await this.#request("GET", `/api/v1/edges?${windowParameters(query)}`)) as EdgeRow[];
  }

  /** @param query `of`: a service or workload; undefined: all */
  async authz(query: {
    windowSeconds: number;
    of: string | undefined;
    namespace: string | undefined;
  }): Promise<AuthzRow[]> {
    const { windowSeconds, ...names } = query;
    const parameters = parametersOf({ window: `${windowSeconds}s`, ...names });
    return (await this.#request("GET", `/api/v1/authz?${parameters}`)) as AuthzRow[];
  }

  async explain(question: ExplainQuestion): Promise<Explanation> {
    return (await this.#request("POST", "/api/v1/authz/explain", question)) as Explanation;
  }

  async generate(query: { windowSeconds: number; namespace: string | undefined }): Promise<GeneratedDocuments> {
    const parameters = parametersOf({ window: `${query.windowSeconds}s`, namespace: query.namespace });
    return (await this.#request("GET", `/api/v1/authz/generate?${parameters}`)) as GeneratedDocuments;
  }

  async endpoints(namespace?: string): Promise<EndpointRow[]> {
    const query = namespace === undefined ? "" : `?${new URLSearchParams({ namespace }).toString()}`;
    return (await this.#request("GET", `/api/v1/endpoints${query}`)) as EndpointRow[];
  }

  async workloads(): Promise<WorkloadRow[]> {
    return (await this.#request("GET", "/api/v1/workloads")) as WorkloadRow[];
  }

  /** Registers a workload, or renews its lease. */
  async register(namespace: string, name: string, registration: WorkloadRegistration): Promise<void> {
    await this.#change("PUT", workloadPath(namespace, name), registration);
  }

  async deregister(namespace: string, name: string): Promise<void> {
    await this.#change("DELETE", workloadPath(namespace, name));
  }

  /** A secret by which the sidecar of this workload gets its first certificate: good once, within ten minutes. */
  async joinToken(subject: TokenSubject): Promise<JoinToken> {
    const { token, trustDomain } = (await this.#change("POST", "/api/v1/join-tokens", subject)) as JoinToken;
    return { token, trustDomain };
  }

  async identity(): Promise<IdentityAnswer> {
    return (await this.#request("GET", "/api/v1/identity")) as IdentityAnswer;
  }

  async sources(): Promise<SourceRow[]> {
    return (await this.#request("GET", "/api/v1/sources")) as SourceRow[];
  }

  async proxies(): Promise<ProxyRow[]> {
    return (await this.#request("GET", "/api/v1/proxies")) as ProxyRow[];
  }

  /** Begins to change the issuer of certificates, and, unless `what` is "issuer", the root above it. */
  async rotate(what: "all" | "issuer"): Promise<void> {
    await this.#change("POST", "/api/v1/identity/rotation", { what });
  }

  /** Does it answer, and can it serve? Never rejects. */
  async ready(): Promise<boolean> {
    try {
      return (await exchange(this.address, "GET", "/ready", undefined, undefined)).status === 200;
    } catch {
      return false;
    }
  }

  /** With the API token, looked for each time: another control plane at the same address has another. */
  async #change(method: string, path: string, body?: unknown): Promise<unknown> {
    let found: FoundToken | undefined;
    const find = (socket: Socket): string | undefined => {
      found = this.#findToken(socket);
      return found.token;
    };
    try {
      return await this.#request(method, path, body, find);
    } catch (error) {
      if (!(error instanceof ControlError) || error.status !== 401) throw error;
      throw new ControlError(
        401,
        `the control plane at ${this.address} demands its API token: ${problemOf(found)}`,
        RIGHT_USER,
      );
    }
  }

  #findToken({ remoteAddress: host = "", remotePort: port = 0, localAddress }: Socket): FoundToken {
    const { env, apiToken } = this.#io;
    if (apiToken) return { token: apiToken, file: "" };
    const local = host === localAddress || /^(::ffff:)?127\./i.test(host);
    return findToken(tokenFolder(env), { host, port, local });
  }

  async #request(method: string, path: string, body?: unknown, token?: TokenFor): Promise<unknown> {
    const { status, text } = await exchange(this.address, method, path, body, token).catch((error: unknown) => {
      throw this.#unreachable(error as NodeJS.ErrnoException);
    });
    const answer = parseJson(text);
    if (status >= 200 && status < 300 && (answer !== undefined || text === "")) return answer;
    const { error } = (answer ?? {}) as { error?: { message?: unknown; hint?: unknown } };
    if (typeof error?.message === "string") {
      throw new ControlError(status, error.message, typeof error.hint === "string" ? error.hint : "");
    }
    throw this.#stranger(method, path, status);
  }

  #stranger(method: string, path: string, status: number): Failure {
    return new Failure(
      `what answers at ${this.address} is not Heddle's control plane (${method} ${path}: status ${status})`,
      WHERE_IT_IS,
    );
  }

  #unreachable(error: NodeJS.ErrnoException): Failure {
    const reasons: Record<string, string> = { ECONNREFUSED: "nothing listens there", ENOTFOUND: "no such host" };
    return new Failure(
      `cannot reach the control plane at ${this.address}: ${reasons[error.code ?? ""] ?? error.message}`,
      `Start a mesh with \`heddle up\` or \`heddle demo\`.\n${WHERE_IT_IS}`,
    );
  }
}

/**
 * The token that somebody gave; undefined if nobody did.
 *
 * @throws UsageError if it cannot be one
 */
export function givenApiToken({ apiToken }: Pick<Io, "apiToken">): string | undefined {
  // As with other variables, empty is not given.
  if (apiToken === undefined || apiToken === "") return undefined;
  const problem = apiTokenProblem(apiToken);
  if (problem === "") return apiToken;
  throw new UsageError(`${API_TOKEN_VARIABLE}: ${problem}`, "`openssl rand -base64 32` makes a good one.");
}

/** What token a request is to have, once it is known who was reached. */
type TokenFor = (reached: Socket) => string | undefined;

const RIGHT_USER = `Run this as the user who runs the control plane, or set ${API_TOKEN_VARIABLE} to its token.`;

function problemOf(found: FoundToken | undefined): string {
  if (found?.token === undefined) return found?.problem ?? "";
  return found.file === "" ? `${API_TOKEN_VARIABLE} has another` : `the one in ${found.file} is another`;
}

const WHERE_IT_IS = "If it is elsewhere, say --control HOST:PORT or set HEDDLE_CONTROL.";

function windowParameters({ windowSeconds, by, namespace }: WindowQuery): string {
  return parametersOf({ window: `${windowSeconds}s`, by, namespace });
}

function parametersOf(values: Readonly<Record<string, string | undefined>>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== undefined) parameters.set(name, value);
  return parameters.toString();
}

function workloadPath(namespace: string, name: string): string {
  return `/api/v1/workloads/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
}

/** One request and its answer, on a connection of its own: what answers may have been restarted since the last one. */
async function exchange(
  address: string,
  method: string,
  path: string,
  body: unknown,
  tokenFor: TokenFor | undefined,
): Promise<{ status: number; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const content = body === undefined ? "" : JSON.stringify(body);
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  const request = http.request(`http://${address}${path}`, { method, headers, agent: false, signal }, (response) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    response.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes > ANSWER_BYTES_MAX) response.destroy(new Error(`the answer is longer than ${ANSWER_BYTES_MAX} bytes`));
    });
    response.on("error", fail);
    response.on("end", () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
  });
  function fail(error: Error): void {
    reject(signal.aborted ? new Error(`no answer within ${ANSWER_TIMEOUT_MS / 1_000} s`) : error);
  }
  request.on("error", fail);
  if (tokenFor === undefined) {
    request.end(content);
    return promise;
  }
  request.on("socket", (socket) => {
    socket.once("connect", () => {
      const token = tokenFor(socket);
      if (token !== undefined) request.setHeader("authorization", `Bearer ${token}`);
      request.end(content);
    });
  });
  return promise;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
