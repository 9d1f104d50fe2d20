/**
 * The admin listener, with Linkerd's paths: /metrics, /ready, /live, /env.json, /proxy-log-level, /shutdown. It is off the
 * data path, so Node's own HTTP server serves it.
 */
import http from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import { gzip } from "node:zlib";

import { isLoopback } from "../net/loopback.ts";
import { isAllowedHost } from "../protocol/host-check.ts";
import { LOG_LEVELS, type LogLevel } from "../telemetry/log.ts";
import type { SocketAddress } from "./config.ts";
import { listenError } from "./listener.ts";

/** Bytes of a request body: a log level. */
const BODY_BYTES_MAX = 256;

/** Only our own variables are shown: an application's environment is full of secrets. So is one of ours. */
const SHOWN_VARIABLES = /^HEDDLE_(?!(JOIN|API)_TOKEN$)/;

export interface AdminContext {
  readonly address: SocketAddress;
  /** Fails if not everything can be told. */
  readonly expose: () => Promise<string>;
  readonly isReady: () => boolean;
  readonly isLive: () => Promise<boolean>;
  readonly logLevel: { get(): LogLevel; set(level: LogLevel): void };
  /** A shutdown was asked for. */
  readonly onShutdown: () => void;
}

export class Admin {
  readonly #server: http.Server;
  readonly #context: AdminContext;

  private constructor(context: AdminContext) {
    this.#context = context;
    this.#server = http.createServer({ requestTimeout: 10_000 }, (request, response) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
    this.#server.maxConnections = 256;
  }

  /** @throws Error that names the address and what is in the way */
  static async open(context: AdminContext): Promise<Admin> {
    const admin = new Admin(context);
    const { host, port } = context.address;
    await new Promise<void>((resolve, reject) => {
      admin.#server.once("error", (error: NodeJS.ErrnoException) => reject(listenError(error, host, port)));
      admin.#server.listen({ host, port }, resolve);
    });
    admin.#server.removeAllListeners("error");
    // What can go wrong from here on (EMFILE on accept) passes; the listener goes on.
    admin.#server.on("error", () => {});
    return admin;
  }

  get address(): SocketAddress {
    const { address, port } = this.#server.address() as AddressInfo;
    return { host: address, port };
  }

  /** What `/ready` says. */
  get ready(): boolean {
    return this.#context.isReady();
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    if (isRebound(request)) {
      reply(response, 403, `these pages are not served under the name "${request.headers.host}"\n`);
      return;
    }
    const url = URL.parse(request.url ?? "/", "http://admin");
    if (url === null) {
      reply(response, 400, "the target of the request is no URL\n");
      return;
    }
    const allowed = METHODS[url.pathname];
    if (allowed === undefined) {
      reply(response, 404, `no such path; there are ${Object.keys(METHODS).join(", ")}\n`);
    } else if (!allowed.includes(request.method ?? "")) {
      response.setHeader("allow", allowed.join(", "));
      reply(response, 405, `${url.pathname} takes ${allowed.join(" or ")}\n`);
    } else {
      await this.#serve(url, request, response);
    }
  }

  async #serve(url: URL, request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    switch (url.pathname) {
      case "/metrics":
        await this.#metrics(request, response);
        break;
      case "/ready":
        if (this.#context.isReady()) reply(response, 200, "ready\n");
        else reply(response, 503, "not ready\n");
        break;
      case "/live":
        if (await this.#context.isLive()) reply(response, 200, "live\n");
        else reply(response, 503, "a worker is stuck\n");
        break;
      case "/env.json":
        environment(url, response);
        break;
      case "/proxy-log-level":
        if (fromLoopback(request, response)) await this.#logLevel(request, response);
        break;
      default:
        if (!fromLoopback(request, response)) break;
        reply(response, 200, "shutting down\n");
        this.#context.onShutdown();
    }
  }

  async #metrics(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    let text: string;
    try {
      text = await this.#context.expose();
    } catch (error) {
      reply(response, 503, `${error instanceof Error ? error.message : String(error)}\n`);
      return;
    }
    response.setHeader("content-type", "text/plain; version=0.0.4; charset=utf-8");
    if (!/\bgzip\b/.test(request.headers["accept-encoding"] ?? "")) {
      response.end(text);
      return;
    }
    response.setHeader("content-encoding", "gzip");
    response.end(await promisify(gzip)(text));
  }

  async #logLevel(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { logLevel } = this.#context;
    if (request.method === "PUT") {
      let body = "";
      for await (const chunk of request) {
        body += String(chunk);
        if (body.length > BODY_BYTES_MAX) break;
      }
      const level = LOG_LEVELS.find((known) => known === body.trim());
      if (level === undefined) {
        reply(response, 400, `"${body.trim().slice(0, 40)}" is no log level; there are ${LOG_LEVELS.join(", ")}\n`);
        return;
      }
      logLevel.set(level);
    }
    reply(response, 200, `${logLevel.get()}\n`);
  }
}

const METHODS: Readonly<Record<string, readonly string[]>> = {
  "/metrics": ["GET"],
  "/ready": ["GET"],
  "/live": ["GET"],
  "/env.json": ["GET"],
  "/proxy-log-level": ["GET", "PUT"],
  "/shutdown": ["POST"],
};

function reply(response: http.ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8" });
  response.end(text);
}

/** `/env.json?NAME&OTHER` shows these, without a query all; "name=value" is a mistake (as Linkerd answers it). */
function environment(url: URL, response: http.ServerResponse): void {
  const asked = [...url.searchParams];
  if (asked.some(([, value]) => value !== "")) {
    reply(response, 400, "name variables without a value: /env.json?HEDDLE_WORKLOAD\n");
    return;
  }
  const names = asked.length > 0 ? asked.map(([name]) => name) : Object.keys(process.env);
  const shown = names
    .filter((name) => SHOWN_VARIABLES.test(name))
    .map((name) => [name, process.env[name] ?? null] as const);
  response.writeHead(200, { "content-type": "application/json" });
  response.end(`${JSON.stringify(Object.fromEntries(shown))}\n`);
}

/** A web page in a browser on this host comes from the loopback, too, but with an Origin. */
function fromLoopback(request: http.IncomingMessage, response: http.ServerResponse): boolean {
  const address = request.socket.remoteAddress ?? "";
  if (request.headers.origin === undefined && isLoopback(address)) return true;
  reply(response, 403, "only from this host\n");
  return false;
}

/**
 * A web page that has pointed a name of its own at this host. Who comes by another address than loopback, which is open
 * only where somebody wants it, may use any name: Prometheus knows its targets by name.
 */
function isRebound({ headers: { host }, socket: { localAddress } }: http.IncomingMessage): boolean {
  const local = localAddress ?? "";
  return host !== undefined && isLoopback(local) && !isAllowedHost(host, local);
}
