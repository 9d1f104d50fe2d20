/** What the three HTTP services of the shop have in common: a small JSON server that ends in good order. */
import { createServer, type Server } from "node:http";

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

interface Info {
  readonly title: string;
  readonly version: string;
  readonly description: string;
}

export interface Service {
  /** Served at /openapi.json. */
  readonly openapi: { readonly openapi: string; readonly info: Info; readonly [field: string]: unknown };
  /** @returns undefined if there is nothing at that path */
  answer(url: URL): Promise<Answer | undefined> | Answer | undefined;
}

/** Answers GET and HEAD requests on 127.0.0.1:$PORT until SIGTERM or SIGINT. */
export function serve(service: Service): Server {
  const server = createServer((request, response) => {
    const send = ({ status, body }: Answer): void => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(request.method === "HEAD" ? undefined : `${JSON.stringify(body)}\n`);
    };
    if (request.method !== "GET" && request.method !== "HEAD") {
      send({ status: 405, body: { error: `${request.method} is not served here` } });
      return;
    }
    respond(service, request.url ?? "/").then(send, (error: unknown) => {
      console.error(error);
      send({ status: 500, body: { error: "internal error" } });
    });
  });
  server.listen(Number(process.env["PORT"] ?? 0), "127.0.0.1", () => {
    const address = server.address();
    const port = typeof address === "object" ? address?.port : address;
    console.log(`${service.openapi.info.title} listens on 127.0.0.1:${port}`);
  });
  for (const signal of ["SIGTERM", "SIGINT"]) {
    process.once(signal, () => {
      server.close();
      server.closeIdleConnections();
    });
  }
  return server;
}

async function respond(service: Service, target: string): Promise<Answer> {
  if (!URL.canParse(target, "http://shop")) return { status: 400, body: { error: "not a path" } };
  const url = new URL(target, "http://shop");
  if (url.pathname === "/healthz") return { status: 200, body: { status: "ok" } };
  if (url.pathname === "/openapi.json") return { status: 200, body: service.openapi };
  return (await service.answer(url)) ?? { status: 404, body: { error: `there is nothing at ${url.pathname}` } };
}
