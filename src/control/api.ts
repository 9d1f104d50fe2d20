/** The control plane's HTTP API, for the command line and the dashboard. No sockets here: `app.request()` tests it. */
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";

import { closest } from "../dialects/closest.ts";
import type { Mesh } from "../model/mesh.ts";
import { type PortKey, portKey } from "../model/service.ts";
import { isAllowedHost, isAllowedOrigin } from "../protocol/host-check.ts";
import type { NodeStatus } from "../xds/node.ts";
import { ApiError } from "./api-error.ts";
import { jsonBody, knownParameters, windowQuery } from "./api-query.ts";
import { type AuthzState, authzRoutes } from "./authz/routes.ts";
import { bearerOf } from "./bearer.ts";
import { addIdentityRoutes, type IdentityApi } from "./identity/api.ts";
import { parseRegistration, type Registration } from "./sources/registration.ts";
import { type Registry, WORKLOADS_MAX } from "./sources/registry.ts";
import type { SourceStatus } from "./sources/source.ts";
import type { EdgeQuery, EdgeRow } from "./stat/edges.ts";
import type { SidecarAnswer } from "./stat/sidecar-answers.ts";
import type { StatQuery, StatRow } from "./stat/stat-table.ts";

/** Bytes of a request's body. */
export const BODY_BYTES_MAX = 1024 * 1024;

/** What the API shows and changes. */
export interface ApiState {
  readonly version: string;
  /** What changes demand. */
  readonly apiToken: string;
  /** Where sidecars ask, "ip:port"; "" before it listens. */
  readonly xds: () => string;
  /** Other hosts are served there in plain, too. */
  readonly insecureXds: boolean;
  readonly registry: Registry;
  readonly ready: () => boolean;
  readonly mesh: () => Mesh;
  readonly nodes: () => readonly (NodeStatus & SidecarAnswer)[];
  readonly sources: () => readonly SourceStatus[];
  readonly identity: IdentityApi;
  readonly stat: (query: StatQuery) => readonly StatRow[];
  readonly edges: (query: EdgeQuery) => readonly EdgeRow[];
  readonly authz: AuthzState;
  /** The Prometheus text. */
  readonly metrics: () => string;
  /** An exception that is our own mistake. */
  readonly onInternalError: (error: Error, path: string) => void;
}

interface Bindings {
  /** There unless a test calls. */
  readonly incoming?: { readonly socket: { readonly localAddress?: string | undefined } };
}

export type Api = Hono<{ Bindings: Bindings }>;

export function createApi(state: ApiState): Api {
  const app: Api = new Hono<{ Bindings: Bindings }>();
  const isAuthorized = bearerOf(state.apiToken);

  app.use(async (c, next) => {
    const host = c.req.header("host");
    if (!isAllowedHost(host, c.env?.incoming?.socket.localAddress)) {
      const hint = "use the address on which it listens, or localhost";
      throw new ApiError("bad-host", `the API is not served under the name "${host ?? ""}"`, hint);
    }
    const origin = c.req.header("origin");
    const looks = c.req.method === "GET" || c.req.method === "HEAD";
    if (!looks && !isAllowedOrigin(origin, host)) {
      throw new ApiError("bad-origin", `web pages of "${origin ?? ""}" may not change anything here`);
    }
    if (!looks && !isQuestion(c.req.method, c.req.path) && !isAuthorized(c.req.header("authorization"))) {
      c.header("www-authenticate", "Bearer");
      const hint =
        "send the token of this control plane as `Authorization: Bearer TOKEN`; docs/http-api.md says where it is";
      throw new ApiError("unauthorized", "whoever changes the mesh must have the API token", hint);
    }
    await next();
    c.header("server", "heddle");
    c.header("cache-control", "no-store");
    c.header("x-content-type-options", "nosniff");
  });

  app.get("/live", (c) => c.text("live\n"));
  app.get("/ready", (c) => (state.ready() ? c.text("ready\n") : c.text("not ready\n", 503)));
  app.get("/metrics", (c) =>
    c.text(state.metrics(), 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }),
  );

  app.get("/api/v1/version", (c) => {
    const { version, insecureXds } = state;
    return c.json({ version, xds: state.xds(), insecureXds });
  });
  app.get("/api/v1/services", (c) => c.json(serviceRows(state.mesh())));
  app.get("/api/v1/endpoints", (c) => {
    knownParameters(c, ["service", "namespace"]);
    return c.json(endpointRows(state.mesh(), c.req.query("namespace"), c.req.query("service")));
  });
  app.get("/api/v1/proxies", (c) => c.json(state.nodes()));
  app.get("/api/v1/sources", (c) => c.json(state.sources()));
  app.get("/api/v1/stat", (c) => {
    knownParameters(c, ["window", "namespace", "service", "by"]);
    return c.json(state.stat({ ...windowQuery(c), service: c.req.query("service") }));
  });
  app.get("/api/v1/edges", (c) => {
    knownParameters(c, ["window", "namespace", "by"]);
    return c.json(state.edges(windowQuery(c)));
  });

  app.route("/api/v1/authz", authzRoutes(state.authz));

  app.get("/api/v1/workloads", (c) => c.json(state.registry.all().toSorted(byName)));
  app.get("/api/v1/workloads/:namespace/:name", (c) => {
    const { namespace, name } = c.req.param();
    const found = state.registry.get(namespace, name);
    if (found === undefined) throw unknownWorkload(state.registry, namespace, name);
    return c.json(found);
  });
  app.put(
    "/api/v1/workloads/:namespace/:name",
    bodyLimit({
      maxSize: BODY_BYTES_MAX,
      onError: () => {
        throw new ApiError("too-large", `the body has more than ${BODY_BYTES_MAX} bytes`);
      },
    }),
    async (c) => {
      const { namespace, name } = c.req.param();
      const registration = registrationFrom(namespace, name, await jsonBody(c));
      const outcome = state.registry.put(registration);
      if (outcome === "full") {
        throw new ApiError("full", `${WORKLOADS_MAX} workloads are registered, which is the most that is kept`);
      }
      return c.json(registration, outcome === "created" ? 201 : 200);
    },
  );
  app.delete("/api/v1/workloads/:namespace/:name", (c) => {
    const { namespace, name } = c.req.param();
    if (!state.registry.delete(namespace, name)) throw unknownWorkload(state.registry, namespace, name);
    return c.body(null, 204);
  });

  addIdentityRoutes(app, state.identity);

  app.notFound((c) => {
    const error = notFound(app, c.req.method, c.req.path);
    if (error.code === "method-not-allowed") c.header("allow", methodsOf(app, c.req.path).join(", "));
    return c.json(error.body, error.status);
  });
  app.onError((error, c) => {
    if (error instanceof ApiError) return c.json(error.body, error.status);
    state.onInternalError(error, c.req.path);
    const internal = new ApiError("internal", "the control plane failed to answer this request", "its log says why");
    return c.json(internal.body, internal.status);
  });
  return app;
}

/** Whether a request that has a body changes nothing all the same. */
function isQuestion(method: string, path: string): boolean {
  return method === "POST" && path === "/api/v1/authz/explain";
}

function serviceRows(mesh: Mesh): object[] {
  return mesh.services.map((service) => {
    const endpoints = service.ports.flatMap(({ port }) => mesh.endpoints.get(portKey(service, port)) ?? []);
    const ready = endpoints.filter(({ health }) => health === "healthy").length;
    return { ...service, endpoints: { ready, total: endpoints.length } };
  });
}

function endpointRows(mesh: Mesh, namespace: string | undefined, service: string | undefined): object[] {
  const rows: object[] = [];
  for (const { name, namespace: within, ports } of mesh.services) {
    if ((namespace ?? within) !== within || (service ?? name) !== name) continue;
    for (const port of ports) {
      const key: PortKey = portKey({ name, namespace: within }, port.port);
      for (const endpoint of mesh.endpoints.get(key) ?? []) {
        rows.push({
          namespace: within,
          service: name,
          port: port.port,
          portName: port.name,
          protocol: port.protocol,
          workload: endpoint.workload,
          ip: endpoint.address,
          endpointPort: endpoint.port,
          health: endpoint.health,
          weight: endpoint.weight,
          labels: endpoint.labels,
          meshed: endpoint.meshed,
        });
      }
    }
  }
  return rows;
}

function registrationFrom(namespace: string, name: string, value: unknown): Registration {
  const parsed = parseRegistration(namespace, name, value);
  if ("registration" in parsed) return parsed.registration;
  const message = parsed.errors
    .map(({ field, message: what }) => (field === "" ? what : `${field}: ${what}`))
    .join("; ");
  throw new ApiError("bad-fields", message, "", parsed.errors);
}

function unknownWorkload(registry: Registry, namespace: string, name: string): ApiError {
  const names = registry.all().flatMap((other) => (other.namespace === namespace ? [other.name] : []));
  const near = closest(name, names);
  const hint = near === undefined ? "/api/v1/workloads lists all" : `did you mean ${near}?`;
  return new ApiError("not-found", `no workload ${name} is registered in the namespace ${namespace}`, hint);
}

function notFound(app: Api, method: string, path: string): ApiError {
  const methods = methodsOf(app, path);
  if (methods.length > 0) {
    return new ApiError("method-not-allowed", `${path} does not answer ${method}`, `it answers ${methods.join(", ")}`);
  }
  const paths = new Set(app.routes.filter((route) => route.method !== "ALL").map((route) => route.path));
  const near = closest(path, paths);
  return new ApiError("not-found", `there is nothing at ${path}`, near === undefined ? "" : `did you mean ${near}?`);
}

/** The methods that a path does answer. */
function methodsOf(app: Api, path: string): string[] {
  const matching = app.routes.filter(({ method, path: pattern }) => {
    if (method === "ALL") return false;
    const expression = pattern.split("/").map((part) => (part.startsWith(":") ? "[^/]+" : part));
    return new RegExp(`^${expression.join("/")}$`).test(path);
  });
  return [...new Set(matching.map(({ method }) => method))];
}

function byName(a: Registration, b: Registration): number {
  return `${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1;
}
