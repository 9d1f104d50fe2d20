/** An HTTP/1 application for tests: answers with what it got, as slowly or as badly as it is told to. */
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";

export interface Application {
  readonly port: number;
  readonly requests: number;
  /** Milliseconds before an answer. */
  delayMs: number;
  /** Answers wait for this, too. */
  held: Promise<void>;
  close(): void;
}

/**
 * Answers `{name, method, url, headers, body}` as JSON; headers is the raw list. Paths: /cut resets the connection
 * half-way through the answer, /silence never answers, /status/N answers with N.
 */
export async function startApplication(name: string): Promise<Application> {
  const state = { requests: 0, delayMs: 0, held: Promise.resolve() };
  const server = http.createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    state.requests++;
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      const { method, url = "", rawHeaders: headers } = request;
      if (url === "/silence") return;
      if (url === "/cut") {
        response.writeHead(200, { "content-length": "100" });
        response.write("half");
        setTimeout(() => request.socket.resetAndDestroy(), 20);
        return;
      }
      const status = /^\/status\/(\d+)$/.exec(url);
      const answer = (): void => {
        response.writeHead(status === null ? 200 : Number(status[1]), { "X-Served-By": name });
        response.end(JSON.stringify({ name, method, url, headers, body }));
      };
      setTimeout(() => void state.held.then(answer), state.delayMs);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    port,
    get requests() {
      return state.requests;
    },
    get delayMs() {
      return state.delayMs;
    },
    set delayMs(value) {
      state.delayMs = value;
    },
    get held() {
      return state.held;
    },
    set held(value) {
      state.held = value;
    },
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Sends a request with any Host, which `fetch` does not allow. */
export async function call(
  outbound: string,
  host: string,
  path = "/",
  options: { method?: string; body?: string; headers?: Record<string, string>; agent?: http.Agent } = {},
): Promise<{ status: number; headers: http.IncomingHttpHeaders; rawHeaders: string[]; body: string }> {
  const { method = "GET", body, headers = {}, agent } = options;
  const request = http.request(`${outbound}${path}`, {
    method,
    headers: { Host: host, ...headers },
    ...(agent === undefined ? {} : { agent }),
  });
  // An error after the head shows up where the body is read.
  request.on("error", () => {});
  request.end(body);
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode ?? 0, headers: response.headers, rawHeaders: response.rawHeaders, body: text };
}
