/** Routes compiled for speed: the first whose match holds is taken, then one of its backends by weight. */
import type { HeaderMatch, Route, StringMatch } from "../../model/route.ts";
import type { PortKey } from "../../model/service.ts";
import type { RequestHead } from "../../protocol/exchange.ts";
import { getHeader } from "../../protocol/headers.ts";

export interface CompiledRoute {
  readonly route: Route;
  /** Milliseconds for the whole exchange, 0 for no limit. */
  readonly timeoutMs: number;
  /** @param random uniform in [0, 1) */
  pickBackend(random: () => number): PortKey;
}

export class Router {
  readonly #routes: readonly Matcher[];

  /** @throws SyntaxError if a regular expression does not compile */
  constructor(routes: readonly Route[]) {
    this.#routes = routes.map((route) => new Matcher(route));
  }

  /** undefined if no route takes the request. */
  match(head: RequestHead): CompiledRoute | undefined {
    for (const route of this.#routes) {
      if (route.matches(head)) return route;
    }
    return undefined;
  }

  /** The route of byte streams: the first that asks for nothing that only a request has. */
  get forBytes(): CompiledRoute | undefined {
    return this.#routes.find((route) => route.everything);
  }
}

class Matcher implements CompiledRoute {
  readonly route: Route;
  readonly timeoutMs: number;
  /** It takes every request. */
  readonly everything: boolean;
  readonly #path: (value: string) => boolean;
  readonly #headers: readonly { name: string; test: (value: string) => boolean }[];
  readonly #totalWeight: number;

  constructor(route: Route) {
    this.route = route;
    this.timeoutMs = route.timeoutMs;
    const { path, method, headers } = route.match;
    this.everything = path.kind === "prefix" && path.value === "/" && method === "" && headers.length === 0;
    this.#path = compile(path);
    this.#headers = headers.map((header: HeaderMatch) => ({
      name: header.name,
      test: header.value === undefined ? () => true : compile(header.value),
    }));
    this.#totalWeight = route.backends.reduce((sum, backend) => sum + backend.weight, 0);
  }

  matches(head: RequestHead): boolean {
    if (this.everything) return true;
    const { method } = this.route.match;
    if (method !== "" && method !== head.method) return false;
    const query = head.path.indexOf("?");
    if (!this.#path(query < 0 ? head.path : head.path.slice(0, query))) return false;
    for (const { name, test } of this.#headers) {
      const value = getHeader(head.headers, name);
      if (value === undefined || !test(value)) return false;
    }
    return true;
  }

  pickBackend(random: () => number): PortKey {
    const { backends } = this.route;
    let left = backends.length === 1 ? 0 : random() * this.#totalWeight;
    for (const { backend, weight } of backends) {
      left -= weight;
      if (left < 0) return backend;
    }
    return (backends[0] as { backend: PortKey }).backend;
  }
}

function compile(match: StringMatch): (value: string) => boolean {
  const { value } = match;
  switch (match.kind) {
    case "exact":
      return (text) => text === value;
    case "prefix":
      return (text) => text.startsWith(value);
    case "regex": {
      const pattern = new RegExp(`^(?:${value})$`, "u");
      return (text) => pattern.test(text);
    }
  }
}
