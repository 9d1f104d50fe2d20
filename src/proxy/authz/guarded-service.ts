/** The application as one connection has it: each request is judged before the application hears of it. */
import type { Connection } from "../../net/connection.ts";
import type { ClientStream, RequestHead, ResponseReceiver } from "../../protocol/exchange.ts";
import type { Call, Decision, JwtGate, JwtOutcome } from "../../policy/policy.ts";
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
import { LiveCall, UNCOUNTED } from "./live-call.ts";

/** What a head has until its token has been looked at: judged it will be then. */
const UNIDENTIFIED = {};

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
    if (jwt === undefined || head.method === "CONNECT") {
      return this.#judge(new LiveCall(this.#bytes, head, false), head, end, receiver);
    }
    const outcome = jwt.examine(head);
    if (!(outcome instanceof Promise)) return this.#identified(jwt, outcome, head, end, receiver);
    const held = new HeldRequest(receiver);
    head.judged = UNIDENTIFIED;
    void outcome.then((one) => {
      if (held.over) return;
      // Whose tokens are believed may have changed meanwhile.
      const same = this.#guard.jwt === jwt;
      held.begin(same ? this.#identified(jwt, one, head, end, receiver) : this.open(head, end, receiver));
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
    return this.#judge(new LiveCall(this.#bytes, head, true, outcome.claims), head, end, receiver);
  }

  #judge(call: LiveCall, head: RequestHead, end: boolean, receiver: ResponseReceiver): ClientStream {
    const guard = this.#guard;
    head.judged = call;
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
    call: LiveCall,
    head: RequestHead,
    end: boolean,
    receiver: ResponseReceiver,
  ): ClientStream {
    const held = new HeldRequest(receiver);
    held.onGiveUp = () => call.giveUp();
    call.ask(this.#guard, names, head.method === "CONNECT" ? undefined : head, (verdict) => {
      if (verdict.kind === "ok") {
        const { remove, set, answer } = verdict;
        // Another list: the policy has seen the first one.
        if (remove.length > 0 || set.length > 0) head.headers = head.headers.slice();
        for (const name of remove) removeHeader(head.headers, name);
        changeFields(head.headers, set);
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

  #pass(call: LiveCall, head: RequestHead, end: boolean, receiver: ResponseReceiver): ClientStream {
    if (head.method === "CONNECT" && this.#guard.counts) {
      return refuse(receiver, failureCause(failures.forbidden, "refused", UNCOUNTED));
    }
    const excess = this.#guard.limit(call);
    if (excess !== undefined) return refuse(receiver, failureCause(failures.rateLimited, "refused", excess));
    return this.#next.open(head, end, receiver);
  }

  #count(call: Call, decision: Decision): void {
    if (decision !== this.#last || this.#counter === undefined || call.request === undefined) {
      this.#last = call.request === undefined ? undefined : decision;
      this.#counter = this.#guard.counterOf(call, decision);
    }
    this.#counter.inc();
  }
}
