/** The application as one connection has it: each request is judged before the application hears of it. */
import type { Connection } from "../../net/connection.ts";
import type { ClientStream, RequestHead, ResponseReceiver } from "../../protocol/exchange.ts";
import type { Call, Decision, JwtClaims, JwtGate, JwtOutcome } from "../../policy/policy.ts";
import type { Counter } from "../../telemetry/metrics.ts";
import { failureCause, failures } from "../failure.ts";
import { HeldRequest } from "../held-request.ts";
import { removeHeader } from "../../protocol/headers.ts";
import { ChangedAnswer } from "./changed-answer.ts";
import { changeFields } from "./field-change.ts";
import { deniedAnswer } from "./denied-answer.ts";
import { refuse } from "../refused.ts";
import type { HttpService } from "../service.ts";
import type { Guard } from "./guard.ts";
import { LiveTunnel } from "./live-tunnel.ts";

export class GuardedService implements HttpService {
  readonly #guard: Guard;
  /** What is the same for all calls by this connection: a byte stream's call. */
  readonly #bytes: Call;
  readonly #next: HttpService;
  /** The last decision and its counter: most are the same. */
  #last: Decision | undefined;
  #counter: Counter | undefined;

  constructor(guard: Guard, connection: Connection, next: HttpService) {
    this.#guard = guard;
    this.#bytes = guard.bytesCall(connection);
    this.#next = next;
  }

  open(head: RequestHead, end: boolean, receiver: ResponseReceiver): ClientStream {
    const { jwt } = this.#guard;
    // What CONNECT says of itself is nothing that the application will hear.
    if (jwt === undefined || head.method === "CONNECT") return this.#judge(head, end, receiver, undefined);
    const outcome = jwt.examine(head);
    if (!(outcome instanceof Promise)) return this.#identified(jwt, outcome, head, end, receiver);
    const held = new HeldRequest(receiver);
    void outcome.then((one) => {
      if (!held.over) held.begin(this.#identified(jwt, one, head, end, receiver));
    });
    return held;
  }

  #identified(
    jwt: JwtGate,
    outcome: JwtOutcome,
    head: RequestHead,
    end: boolean,
    receiver: ResponseReceiver,
  ): ClientStream {
    if ("failure" in outcome) {
      return refuse(receiver, failureCause(failures.invalidToken, "refused", outcome.failure));
    }
    jwt.apply(outcome, head);
    return this.#judge(head, end, receiver, outcome.claims);
  }

  #judge(head: RequestHead, end: boolean, receiver: ResponseReceiver, claims: JwtClaims | undefined): ClientStream {
    const guard = this.#guard;
    const call = this.#callOf(head, claims);
    if (!guard.open) {
      const decision = guard.judge(call);
      this.#count(call, decision);
      if (!decision.allowed) {
        return refuse(receiver, failureCause(failures.forbidden, "refused", guard.tell(call, decision)));
      }
      if (decision.external !== undefined) return this.#ask(decision.external, call, head, end, receiver);
    }
    return this.#pass(call, head, end, receiver);
  }

  #ask(
    names: readonly string[],
    call: Call,
    head: RequestHead,
    end: boolean,
    receiver: ResponseReceiver,
  ): ClientStream {
    const held = new HeldRequest(receiver);
    const form = head.method === "CONNECT" ? undefined : head;
    held.onGiveUp = this.#guard.ask(names, call, form, (verdict) => {
      if (held.over) return;
      if (verdict.kind === "ok" && !this.#guard.admits(call)) {
        held.fail(failureCause(failures.forbidden, "refused", "the policy has changed meanwhile"));
      } else if (verdict.kind === "ok") {
        for (const name of verdict.remove) removeHeader(head.headers, name);
        changeFields(head.headers, verdict.set);
        const { answer } = verdict;
        const changed = answer.length === 0 ? receiver : new ChangedAnswer(receiver, answer);
        held.begin(this.#pass(call, head, end, changed));
      } else if (verdict.kind === "unavailable") {
        const detail = `the authorizer ${verdict.by} could not be asked`;
        held.fail(failureCause(failures.authorizerUnavailable, "refused", detail));
      } else {
        this.#guard.context.metrics.httpErrors.inbound
          .labels({ direction: "inbound", error: failures.externalDenied.kind })
          .inc();
        const { answer, body } = deniedAnswer(head, verdict, this.#guard.context.workload);
        held.answer(answer, body);
      }
    });
    return held;
  }

  #pass(call: Call, head: RequestHead, end: boolean, receiver: ResponseReceiver): ClientStream {
    if (head.method === "CONNECT" && this.#guard.counts) {
      const detail = "requests are limited here, and inside of CONNECT nobody would count them";
      return refuse(receiver, failureCause(failures.forbidden, "refused", detail));
    }
    const excess = this.#guard.limit(call);
    if (excess !== undefined) return refuse(receiver, failureCause(failures.rateLimited, "refused", excess));
    if (head.upgrade === "") return this.#next.open(head, end, receiver);
    return new LiveTunnel(this.#guard, call, this.#next, head, end, receiver);
  }

  /** CONNECT gives access to the bytes. */
  #callOf({ method, path, authority, headers }: RequestHead, jwt: JwtClaims | undefined): Call {
    if (method === "CONNECT") return this.#bytes;
    const { peer, port, localAddress, sni } = this.#bytes;
    return { peer, port, localAddress, sni, request: { method, path, host: authority, headers }, jwt };
  }

  #count(call: Call, decision: Decision): void {
    if (decision !== this.#last || this.#counter === undefined || call.request === undefined) {
      this.#last = call.request === undefined ? undefined : decision;
      this.#counter = this.#guard.counterOf(call, decision);
    }
    this.#counter.inc();
  }
}
