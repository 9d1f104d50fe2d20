/**
 * A call that is under way or waits for consent: what it takes to judge it again when the policy changes. Of a request it
 * hangs on the head (`RequestHead.judged`), so nobody keeps books: whoever wants all that are under way asks the codecs
 * of all connections for their exchanges. That costs a request nothing, and an idle connection no byte; a change of the
 * policy costs a walk, and is rare.
 *
 *   judged ──a rule asks others──▶ waiting ──consent, or nobody asks any more──▶ under way
 *   under way ──a new rule asks others──▶ asked about, and goes on ──no──▶ cut
 *   any ──a new policy refuses it──▶ cut
 *
 * Who has consented once is not asked again, whatever other policies come and go.
 */
import type { Call, CallRequest, Decision, JwtClaims, JwtGate, JwtOutcome, Peer } from "../../policy/policy.ts";
import type { RequestHead } from "../../protocol/exchange.ts";
import { type Failure, type FailureCause, failureCause, failures } from "../failure.ts";
import type { RequestForm } from "./check-attributes.ts";
import type { External, ExternalVerdict } from "./external.ts";
import type { Guard } from "./guard.ts";

/** Whatever a call has led to. */
export interface Live {
  /** There is nothing left to end. */
  readonly over: boolean;
  /** Bytes that nobody looks at pass both ways. */
  readonly tunnel: boolean;
  /** Ends it, on both sides. */
  cut(cause: FailureCause): void;
}

type Done = (verdict: ExternalVerdict) => void;

interface Question {
  readonly of: External | undefined;
  readonly names: readonly string[];
  readonly done: Done;
  /** It is under way meanwhile. */
  readonly about: Live | undefined;
  readonly giveUp: () => void;
}

const NOBODY: readonly string[] = [];
const CONSENT: ExternalVerdict = { kind: "ok", remove: [], set: [], answer: [] };

export class LiveCall implements Call {
  readonly peer: Peer;
  readonly port: number;
  readonly localAddress: string;
  readonly sni: string;
  readonly request: CallRequest | undefined;
  /** Of the token that came with it. */
  jwt: JwtClaims | undefined;
  /** Its tokens have been looked at. */
  #examined: "no" | "underway" | "yes";
  #consents = NOBODY;
  #question: Question | undefined;

  /**
   * @param bytes the call that its connection would be
   * @param head of the request; undefined for a byte stream
   * @param examined its tokens have been looked at, and came to `jwt`
   */
  constructor(bytes: Call, head: RequestHead | undefined, examined: boolean, jwt?: JwtClaims) {
    this.peer = bytes.peer;
    this.port = bytes.port;
    this.localAddress = bytes.localAddress;
    this.sni = bytes.sni;
    // CONNECT gives access to the bytes.
    this.request = head === undefined || head.method === "CONNECT" ? undefined : requestOf(head);
    this.jwt = jwt;
    this.#examined = examined ? "yes" : "no";
  }

  /**
   * Asks those whom a decision wants to be asked.
   *
   * @param done never called from inside, nor once it was given up
   * @param about what is under way meanwhile; undefined: it waits
   */
  ask(guard: Guard, names: readonly string[], form: RequestForm | undefined, done: Done, about?: Live): void {
    const answered: Done = (verdict) => {
      this.#question = undefined;
      if (verdict.kind === "ok") this.#consents = [...this.#consents, ...names];
      done(verdict);
    };
    const giveUp = guard.ask(names, this, form, answered, about);
    this.#question = { of: guard.external, names, done, about, giveUp };
  }

  /** Nobody waits for the answer. */
  giveUp(): void {
    this.#question?.giveUp();
    this.#question = undefined;
  }

  /** The policy is another: ends `live` if it would not be let in, now or as soon as that is known. */
  review(guard: Guard, live: Live, head: RequestHead | undefined): void {
    if (live.over || this.#examined === "underway" || !this.#examine(guard, live, head)) return;
    const decision = guard.decide(guard.believes(this.jwt) ? this : this.#withoutClaims());
    if (!decision.allowed) {
      this.#end(guard, live, decision, failures.forbidden, guard.tell(this, decision), decision.reason);
    } else if (head?.method === "CONNECT" && guard.counts) {
      this.#end(guard, live, decision, failures.forbidden, UNCOUNTED);
    } else {
      this.#consult(guard, live, decision, head);
    }
  }

  #withoutClaims(): Call {
    const { peer, port, localAddress, sni, request } = this;
    return { peer, port, localAddress, sni, request };
  }

  /** @returns false: what its tokens are worth will be known later, or it has ended for it */
  #examine(guard: Guard, live: Live, head: RequestHead | undefined): boolean {
    const { jwt } = guard;
    if (jwt === undefined || this.#examined === "yes" || this.request === undefined) return true;
    // As it came: an authorizer may have changed the head.
    const outcome = jwt.examine(this.request);
    if (!(outcome instanceof Promise)) return this.#identified(outcome, guard, live);
    this.#examined = "underway";
    void outcome.then((late) => this.#examinedLate(late, jwt, guard, live, head));
    return false;
  }

  #examinedLate(outcome: JwtOutcome, by: JwtGate, guard: Guard, live: Live, head: RequestHead | undefined): void {
    this.#examined = "no";
    if (live.over || (by === guard.jwt && !this.#identified(outcome, guard, live))) return;
    this.review(guard, live, head);
  }

  #identified(outcome: JwtOutcome, guard: Guard, live: Live): boolean {
    if ("failure" in outcome) {
      this.#end(guard, live, guard.decide(this), failures.invalidToken, outcome.failure);
      return false;
    }
    this.jwt = outcome.claims;
    this.#examined = "yes";
    return true;
  }

  #consult(guard: Guard, live: Live, decision: Decision, form: RequestForm | undefined): void {
    const wanted = decision.external?.filter((name) => !this.#consents.includes(name)) ?? NOBODY;
    const before = this.#question;
    // Authorizers that have been replaced give no more answers.
    if (before !== undefined && before.of === guard.external && sameNames(before.names, wanted)) return;
    this.giveUp();
    if (wanted.length === 0) {
      before?.done(CONSENT);
      return;
    }
    // One that waits to be let in goes on waiting.
    if (before !== undefined) this.ask(guard, wanted, this.request && form, before.done, before.about);
    else this.ask(guard, wanted, this.request && form, (said) => this.#consulted(guard, live, decision, said), live);
  }

  #consulted(guard: Guard, live: Live, decision: Decision, verdict: ExternalVerdict): void {
    if (verdict.kind === "ok" || live.over) return;
    const denied = verdict.kind === "denied";
    const detail = denied ? `${verdict.by} does not consent` : `the authorizer ${verdict.by} could not be asked`;
    const failure = denied ? failures.externalDenied : failures.authorizerUnavailable;
    this.#end(guard, live, decision, failure, detail);
  }

  /** @param detail for the caller @param reason for the log */
  #end(guard: Guard, live: Live, decision: Decision, failure: Failure, detail: string, reason = detail): void {
    this.giveUp();
    guard.terminated(this, decision, live.tunnel, reason);
    live.cut(failureCause(failure, "cancelled", detail));
  }
}

/** Why there is no CONNECT where requests are counted. */
export const UNCOUNTED = "requests are limited here, and inside of CONNECT nobody would count them";

function requestOf({ method, path, authority, headers }: RequestHead): CallRequest {
  return { method, path, host: authority, headers };
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, i) => name === b[i]);
}
