/**
 * Conditions and clauses, made ready. What cannot be known of a call (a header of a byte stream, the address of a peer on
 * a Unix socket, a path that can be read in several ways) is decided for safety: a condition on it holds in rules that
 * refuse or ask, and does not hold in rules that allow. What is known to be absent (an identity, a token, a header of a
 * request) matches no pattern, so that `not` holds of it, as in Istio.
 */
import type { Clause, Condition, Network } from "../model/inbound-policy.ts";
import { inNetwork, type IpAddress, type IpNetwork, parseAddress, parseNetwork } from "../model/network.ts";
import { type CallRequest, UNNAMED_PORT } from "./call.ts";
import { claimValues, principalOf } from "./claims.ts";
import { PolicyError } from "./error.ts";
import { decodePath } from "./path.ts";
import { anyMatch, AS_WRITTEN, matcherOf, type TextMatcher, type TextRules, wireText } from "./text.ts";
import { type CallView, fieldOf } from "./view.ts";

export type Test = (view: CallView) => boolean;

const HOST: TextRules = { prepare: wireText, ignoreCase: true };
const WIRE: TextRules = { prepare: wireText, ignoreCase: false };
const PATH: TextRules = { prepare: (value) => decodePath(wireText(value)), ignoreCase: false };

/** @param doubt whether what cannot be known counts as holding. @throws PolicyError, RegexError */
export function compileClause(clause: Clause, doubt: boolean): Test {
  const tests = clause.map((condition) => compileCondition(condition, doubt));
  const [only] = tests;
  if (only !== undefined && tests.length === 1) return only;
  return (view) => {
    for (const test of tests) {
      if (!test(view)) return false;
    }
    return true;
  };
}

function compileCondition(condition: Condition, doubt: boolean): Test {
  if (condition.on === "authenticated") {
    const { value } = condition;
    return ({ peer }) => peer.authenticated === value;
  }
  const { not } = condition;
  const settle = (result: boolean | undefined): boolean => (result === undefined ? doubt : result !== not);
  switch (condition.on) {
    case "identity": {
      const { form } = condition;
      const matchers = condition.any.map((pattern) => matcherOf(pattern, AS_WRITTEN));
      return ({ peer }) => settle(ofText(matchers, peer.forms[form]));
    }
    case "source": {
      const test = networkTest(condition.any);
      return ({ peer }) => settle(test(peer.address));
    }
    case "client": {
      const test = networkTest(condition.any);
      return http(doubt, (view, request) => settle(test(view.clientAddress(request))));
    }
    case "destination": {
      const test = networkTest(condition.any);
      return ({ call }) => settle(test(parseAddress(call.localAddress)));
    }
    case "port": {
      const ports = new Set(condition.any);
      return ({ call }) => settle(call.port === UNNAMED_PORT ? undefined : ports.has(call.port));
    }
    case "sni": {
      const matchers = condition.any.map((pattern) => matcherOf(pattern, HOST));
      return ({ call }) => settle(ofText(matchers, call.sni.toLowerCase()));
    }
    case "method": {
      const matchers = condition.any.map((pattern) => matcherOf(pattern, WIRE));
      return http(doubt, (_, { method }) => settle(anyMatch(matchers, method)));
    }
    case "path": {
      const matchers = condition.any.map((pattern) => matcherOf(pattern, PATH));
      return http(doubt, (view, request) => {
        const readings = view.paths(request);
        if (readings === undefined) return doubt;
        for (const reading of readings) {
          if (settle(anyMatch(matchers, reading)) === doubt) return doubt;
        }
        return !doubt;
      });
    }
    case "host": {
      const matchers = condition.any.map((pattern) => matcherOf(pattern, HOST));
      return http(doubt, (view, request) => settle(ofAny(matchers, view.hosts(request))));
    }
    case "header": {
      const { name } = condition;
      const matchers = condition.any.map((pattern) => matcherOf(pattern, WIRE));
      return http(doubt, (_, request) => settle(ofText(matchers, fieldOf(request, name))));
    }
    case "jwt-principal": {
      const matchers = condition.any.map((pattern) => matcherOf(pattern, AS_WRITTEN));
      return http(doubt, ({ call }) => settle(ofText(matchers, principalOf(call.jwt))));
    }
    case "jwt-claim": {
      const { path } = condition;
      const matchers = condition.any.map((pattern) => matcherOf(pattern, AS_WRITTEN));
      return http(doubt, ({ call }) => settle(ofAny(matchers, claimValues(call.jwt, path))));
    }
  }
}

/** What only requests have. */
function http(doubt: boolean, test: (view: CallView, request: CallRequest) => boolean): Test {
  return (view) => {
    const { request } = view.call;
    return request === undefined ? doubt : test(view, request);
  };
}

/** An absent text matches nothing. */
function ofText(matchers: readonly TextMatcher[], text: string | undefined): boolean | undefined {
  return text === undefined || text === "" ? false : anyMatch(matchers, text);
}

function ofAny(matchers: readonly TextMatcher[], texts: readonly string[]): boolean | undefined {
  let known = true;
  for (const text of texts) {
    const result = ofText(matchers, text);
    if (result === true) return true;
    if (result === undefined) known = false;
  }
  return known ? false : undefined;
}

/** @throws PolicyError */
export function networkTest(networks: readonly Network[]): (address: IpAddress | undefined) => boolean | undefined {
  const compiled = networks.map(({ cidr, except }) => ({
    network: networkOf(cidr),
    except: except.map((text) => networkOf(text)),
  }));
  return (address) => {
    if (address === undefined) return undefined;
    return compiled.some(
      ({ network, except }) => inNetwork(address, network) && !except.some((one) => inNetwork(address, one)),
    );
  };
}

function networkOf(text: string): IpNetwork {
  const network = parseNetwork(text);
  if (network === undefined)
    throw new PolicyError(`"${text}" is no network: expected an address like 10.0.0.0/8 or ::1`);
  return network;
}
