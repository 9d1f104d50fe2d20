/**
 * The external authorizers of one port: several that are asked about one call are asked one after the other, and all have
 * to consent. The modules for it are loaded when the first question comes.
 */
import type { ExternalAuthorizer } from "../../model/inbound-policy.ts";
import type { Call } from "../../policy/policy.ts";
import type { HeaderList } from "../../protocol/exchange.ts";
import type { CheckResponse } from "../../xds/gen/envoy/service/auth/v3/external_auth_pb.ts";
import type { ProxyContext } from "../context.ts";
import type { Consent } from "./check-answer.ts";
import type { RequestForm } from "./check-attributes.ts";
import type { Attributes, CheckClient } from "./check-client.ts";

export type ExternalVerdict =
  | Consent
  | {
      readonly kind: "denied";
      readonly by: string;
      readonly status: number;
      readonly headers: HeaderList;
      readonly body: string;
    }
  /** It could not be asked, and nothing passes without it. */
  | { readonly kind: "unavailable"; readonly by: string };

/**
 * Questions about what is under way already that are put at once: a new policy may raise thousands, and what comes
 * meanwhile wants to be asked about, too. The others wait, no more of them than there are calls.
 */
export const LIVE_QUESTIONS_MAX = 500;

/** What a question is about, if it is under way already. */
export interface Lasting {
  readonly over: boolean;
}

export class External {
  readonly #authorizers: ReadonlyMap<string, ExternalAuthorizer>;
  readonly #context: ProxyContext;
  readonly #clients = new Map<string, CheckClient>();
  /** Those that wait for their turn, the oldest first. */
  #waiting: { readonly about: Lasting; readonly question: Question; readonly put: () => void }[] = [];
  #underWay = 0;
  #closed = false;

  constructor(authorizers: readonly ExternalAuthorizer[], context: ProxyContext) {
    this.#authorizers = new Map(authorizers.map((one) => [one.name, one]));
    this.#context = context;
  }

  /**
   * @param names of authorizers, which are there
   * @param form of the request; undefined for a byte stream
   * @param about undefined: it waits for the answer, and is not let in before
   * @returns a function that gives the question up; `done` is not called then. It is never called from inside
   */
  ask(
    names: readonly string[],
    call: Call,
    form: RequestForm | undefined,
    done: (verdict: ExternalVerdict) => void,
    about?: Lasting,
  ): () => void {
    const question = new Question(done);
    const put = (): void => void this.#ask(names, call, form, question);
    if (about === undefined) {
      put();
    } else {
      this.#waiting.push({ about, question, put });
      this.#putNext();
    }
    return () => question.giveUp();
  }

  /** Questions under way are as good as not answered. */
  close(): void {
    this.#closed = true;
    this.#waiting = [];
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  #putNext(): void {
    while (this.#underWay < LIVE_QUESTIONS_MAX) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      if (next.question.over || next.about.over) continue;
      this.#underWay++;
      next.question.onOver = () => {
        this.#underWay--;
        this.#putNext();
      };
      next.put();
    }
  }

  async #ask(names: readonly string[], call: Call, form: RequestForm | undefined, question: Question): Promise<void> {
    const [{ CheckClient: Client }, { attributesOf }, { verdictOf }] = await Promise.all([
      import("./check-client.ts"),
      import("./check-attributes.ts"),
      import("./check-answer.ts"),
    ]);
    let consent: Consent = { kind: "ok", remove: [], set: [], answer: [] };
    for (const name of names) {
      const authorizer = this.#authorizers.get(name);
      if (authorizer === undefined || this.#closed) return question.answer({ kind: "unavailable", by: name });
      let client = this.#clients.get(name);
      if (client === undefined) {
        client = new Client(authorizer, this.#context.clock);
        this.#clients.set(name, client);
      }
      const { response, failure } = await question.put(client, attributesOf(call, Date.now(), form));
      const verdict = response === undefined ? undefined : verdictOf(response);
      if (verdict?.kind === "denied") return question.answer({ ...verdict, by: name });
      if (verdict?.kind === "ok") {
        consent = {
          kind: "ok",
          remove: [...consent.remove, ...verdict.remove],
          set: [...consent.set, ...verdict.set],
          answer: [...consent.answer, ...verdict.answer],
        };
      } else {
        this.#failed(authorizer, verdict?.detail ?? failure);
        if (!authorizer.failOpen) return question.answer({ kind: "unavailable", by: name });
      }
    }
    question.answer(consent);
  }

  #failed({ name, address, failOpen }: ExternalAuthorizer, detail: string): void {
    this.#context.logger.warn("an external authorizer could not be asked", {
      authorizer: name,
      address,
      detail,
      calls: failOpen ? "pass" : "are refused",
    });
  }
}

interface Answer {
  readonly response: CheckResponse | undefined;
  readonly failure: string;
}

/** All questions about one call. */
class Question {
  over = false;
  /** Called when it becomes so. */
  onOver: (() => void) | undefined;
  readonly #done: (verdict: ExternalVerdict) => void;
  #cancel: (() => void) | undefined;

  constructor(done: (verdict: ExternalVerdict) => void) {
    this.#done = done;
  }

  /** Never resolves once it was given up. */
  put(client: CheckClient, attributes: Attributes): Promise<Answer> {
    return new Promise((resolve) => {
      if (this.over) return;
      this.#cancel = client.ask(attributes, (response, failure) => resolve({ response, failure }));
    });
  }

  answer(verdict: ExternalVerdict): void {
    if (this.over) return;
    this.over = true;
    this.onOver?.();
    this.#done(verdict);
  }

  giveUp(): void {
    if (this.over) return;
    this.over = true;
    this.#cancel?.();
    this.onOver?.();
  }
}
