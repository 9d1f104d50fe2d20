/**
 * A name as something that requests can be sent to: asks discovery when it has to, matches the route, picks the backend.
 * Once a name is known, this adds a map look-up and a route match to a request, and no object.
 */
import type { Clock } from "../../net/clock.ts";
import type { ClientStream, RequestHead, ResponseReceiver } from "../../protocol/exchange.ts";
import { dropOwnFields } from "../own-fields.ts";
import { failureCause, failures } from "../failure.ts";
import { refuse } from "../refused.ts";
import type { HttpService } from "../service.ts";
import { TimedExchange } from "../timed-exchange.ts";
import { lookUp } from "./lookup.ts";
import type { KnownService, Services } from "./services.ts";

/**
 * What may be asked for: host and port, at most as long as a DNS name and a port. Discovery gives other strings, like "*"
 * (all resources) and "", a meaning of their own.
 */
const NAME = /^[a-z0-9_.-]{1,253}(?::[0-9]{1,5})?$/;

export class NamedTarget implements HttpService {
  readonly #services: Services;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #authority: string | undefined;

  /** @param authority where all requests go; undefined: where each one's own authority says */
  constructor(services: Services, clock: Clock, random: () => number, authority: string | undefined) {
    this.#services = services;
    this.#clock = clock;
    this.#random = random;
    this.#authority = authority;
  }

  open(head: RequestHead, end: boolean, receiver: ResponseReceiver): ClientStream {
    dropOwnFields(head.headers);
    const authority = this.#authority ?? head.authority.toLowerCase();
    const known = this.#services.known(authority);
    if (known !== undefined) return this.#route(known, authority, head, end, receiver);
    if (this.#authority === undefined && !NAME.test(authority))
      return unknown(receiver, `"${authority}" is no name of a service`);
    return lookUp(
      (done) => this.#services.resolve(authority, done),
      (service) => this.#route(service, authority, head, end, receiver),
      authority,
      receiver,
    );
  }

  #route(
    known: KnownService,
    authority: string,
    head: RequestHead,
    end: boolean,
    receiver: ResponseReceiver,
  ): ClientStream {
    const route = known.router.match(head);
    const backend = route === undefined ? undefined : known.backend(route.pickBackend(this.#random));
    if (route === undefined || backend === undefined) {
      return unknown(receiver, `no route of ${authority} takes ${head.method} ${head.path}`);
    }
    if (route.timeoutMs === 0) return backend.open(head, end, receiver);
    // Whoever serves it learns the smaller of the two limits.
    if (head.deadline !== undefined) head.deadline = Math.min(head.deadline, this.#clock.now() + route.timeoutMs);
    return new TimedExchange(this.#clock, route.timeoutMs, failures.timeout, backend, head, end, receiver);
  }
}

function unknown(receiver: ResponseReceiver, detail: string): ClientStream {
  return refuse(receiver, failureCause(failures.unknownService, "refused", detail));
}
