/** A workload's policy made ready for one of its ports, once for all calls. */
import {
  type DefaultPolicy,
  type InboundPolicy,
  NO_DOCUMENT,
  type Origin,
  type PolicyLayer,
  type PolicyRule,
  type TlsMode,
} from "../model/inbound-policy.ts";
import type { IpAddress } from "../model/network.ts";
import { RegexError } from "../model/regex.ts";
import type { Decision } from "./call.ts";
import { compileClause, networkTest, type Test } from "./condition.ts";
import { PolicyError } from "./error.ts";

/** Clauses that one port's rules may have together; each call may have to look at all of them. */
export const CLAUSES_MAX = 20_000;

export interface CompiledRule {
  readonly action: PolicyRule["action"];
  readonly dryRun: boolean;
  readonly provider: string;
  readonly origin: Origin;
  readonly clauses: readonly Test[];
  /** The whole answer where this rule decides and nothing was marked before: most calls need no object of their own. */
  readonly decision: Decision;
}

export interface CompiledLayer {
  readonly rules: readonly CompiledRule[];
  readonly otherwise: Decision;
  /** `otherwise` lets pass what it would refuse, and says so. */
  readonly otherwiseAudits: boolean;
  /** The first of its rules that allow on trial; undefined if there is none. */
  readonly trial: Origin | undefined;
}

export interface CompiledPolicy {
  /** Nothing is refused, marked or asked here: `decide` need not be called. */
  readonly open: boolean;
  readonly tls: { readonly mode: TlsMode; readonly refusal: Decision };
  readonly layers: readonly CompiledLayer[];
  /** Where there is no layer. */
  readonly byDefault: {
    readonly policy: DefaultPolicy;
    readonly allowed: Decision;
    readonly refused: Decision;
    readonly inCluster: (address: IpAddress | undefined) => boolean | undefined;
  };
}

/**
 * @param port the service port that calls come in by
 * @throws PolicyError with the document, if something in it cannot be obeyed
 */
export function compilePolicy(policy: InboundPolicy, port: number): CompiledPolicy {
  const tls = policy.tlsByPort.find((one) => one.port === port) ?? policy.tls;
  const providers = new Set(policy.providers.map(({ name }) => name));
  const here = policy.layers.filter(({ ports }) => ports.length === 0 || ports.includes(port));
  const clauses = here.reduce((sum, { rules }) => sum + rules.reduce((n, rule) => n + rule.clauses.length, 0), 0);
  if (clauses > CLAUSES_MAX) {
    throw new PolicyError(`the rules of port ${port} have ${clauses} clauses: at most ${CLAUSES_MAX} are taken`);
  }
  const layers = here.map((layer) => compileLayer(layer, providers));
  const { defaultPolicy } = policy;
  const origin: Origin = { ...NO_DOCUMENT, name: defaultPolicy };
  const networks = policy.clusterNetworks.map((cidr) => ({ cidr, except: [] }));
  return {
    open: layers.length === 0 && defaultPolicy === "all-unauthenticated" && tls.mode !== "strict",
    tls: {
      mode: tls.mode,
      refusal: refused(tls.origin, `${whereOf(tls.origin)} wants TLS of the mesh (mode strict), and the peer has none`),
    },
    layers,
    byDefault: {
      policy: defaultPolicy,
      allowed: {
        ...allowed(origin, `allowed by the default policy ${defaultPolicy}`),
        audited: defaultPolicy === "audit" ? [origin] : [],
      },
      refused: refused(origin, `refused by the default policy ${defaultPolicy}`),
      inCluster: networkTest(networks),
    },
  };
}

function compileLayer({ dialect, rules, otherwise }: PolicyLayer, providers: ReadonlySet<string>): CompiledLayer {
  const { origin } = otherwise;
  const nothing = `no rule of ${dialect} ${otherwise.action === "deny" ? "allows" : "decides"} it`;
  return {
    rules: rules.map((rule) => compileRule(rule, providers)),
    trial: rules.find(({ action, dryRun }) => action === "allow" && dryRun === true)?.origin,
    otherwise:
      otherwise.action === "deny"
        ? refused(origin, `${nothing}, so it is refused by ${whereOf(origin)}`)
        : allowed(origin, `${nothing}, so it is allowed by ${whereOf(origin)}`),
    otherwiseAudits: otherwise.action === "audit",
  };
}

function compileRule(rule: PolicyRule, providers: ReadonlySet<string>): CompiledRule {
  const { action, origin, provider = "", dryRun = false } = rule;
  if (action === "external" && !providers.has(provider)) {
    throw new PolicyError(`${whereOf(origin)} asks the provider "${provider}", which is not there`);
  }
  // What cannot be known must neither let a call pass nor spare it a question.
  const doubt = action === "deny" || action === "external";
  return {
    action,
    origin,
    provider,
    dryRun,
    clauses: rule.clauses.map((clause) => {
      try {
        return compileClause(clause, doubt);
      } catch (error) {
        if (error instanceof RegexError) throw new PolicyError(`${whereOf(origin)}: an expression: ${error.message}`);
        if (error instanceof PolicyError) throw new PolicyError(`${whereOf(origin)}: ${error.message}`);
        throw error;
      }
    }),
    decision:
      action === "allow"
        ? allowed(origin, `allowed by ${whereOf(origin)}`)
        : refused(origin, `refused by ${whereOf(origin)}`),
  };
}

const NONE: readonly Origin[] = [];

function allowed(origin: Origin, reason: string): Decision {
  return { allowed: true, origin, reason, audited: NONE };
}

function refused(origin: Origin, reason: string): Decision {
  return { allowed: false, origin, reason, audited: NONE };
}

/** "AuthorizationPolicy shop/price (policies.yaml:12)" */
export function whereOf({ kind, namespace, name, file, line }: Origin): string {
  const short = kind.slice(kind.lastIndexOf("/") + 1);
  const full = namespace === "" ? name : `${namespace}/${name}`;
  const place = file === "" ? "" : ` (${file}:${line})`;
  return full === "" ? `${short}${place}` : `${short} ${full}${place}`;
}
