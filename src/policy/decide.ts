/**
 * Whether a call may pass: pure and at once.
 *
 *   1. A port that wants TLS of the mesh refuses peers without.
 *   2. Each layer, in its own order: the first rule that allows or denies and holds decides, else the layer's `otherwise`.
 *      A refusal is final. Rules that audit or are on trial are noted, rules that ask others are collected.
 *   3. Without any layer the default policy decides.
 */
import type { Origin } from "../model/inbound-policy.ts";
import type { Call, Decision } from "./call.ts";
import type { CompiledLayer, CompiledPolicy, CompiledRule } from "./compile.ts";
import { factsOf, type PeerFacts, withoutIdentity } from "./peer-facts.ts";
import { CallView } from "./view.ts";

export function decide(policy: CompiledPolicy, call: Call): Decision {
  const { mode, refusal } = policy.tls;
  let peer = factsOf(call.peer);
  if (mode === "disable") peer = withoutIdentity(peer);
  else if (mode === "strict" && !peer.authenticated) return refusal;
  if (policy.layers.length === 0) return byDefault(policy, peer);
  const view = new CallView(call, peer);
  const notes = new Notes();
  let decided: Decision | undefined;
  for (const layer of policy.layers) {
    const decision = ofLayer(layer, view, notes);
    if (!decision.allowed) return notes.on(decision);
    decided ??= decision;
  }
  return notes.on(decided as Decision);
}

/** What was noted on the way to the decision. */
class Notes {
  #audited: Origin[] | undefined;
  #external: string[] | undefined;

  audit(origin: Origin): void {
    (this.#audited ??= []).push(origin);
  }

  ask(provider: string): void {
    const external = (this.#external ??= []);
    if (!external.includes(provider)) external.push(provider);
  }

  on(decision: Decision): Decision {
    const audited = this.#audited;
    const external = decision.allowed ? this.#external : undefined;
    if (audited === undefined && external === undefined) return decision;
    const noted = audited === undefined ? decision : { ...decision, audited };
    return external === undefined ? noted : { ...noted, external };
  }
}

function ofLayer(layer: CompiledLayer, view: CallView, notes: Notes): Decision {
  let trialAllows = false;
  for (const rule of layer.rules) {
    if (!holds(rule, view)) continue;
    switch (rule.action) {
      case "audit":
        notes.audit(rule.origin);
        break;
      case "external":
        if (rule.dryRun) notes.audit(rule.origin);
        else notes.ask(rule.provider);
        break;
      case "deny":
        if (!rule.dryRun) return rule.decision;
        notes.audit(rule.origin);
        break;
      case "allow":
        if (!rule.dryRun) return rule.decision;
        trialAllows = true;
        break;
    }
  }
  // Rules that allow would leave the rest refused, were they in force.
  if (layer.trial !== undefined && !trialAllows && layer.otherwise.allowed) notes.audit(layer.trial);
  if (layer.otherwiseAudits) notes.audit(layer.otherwise.origin);
  return layer.otherwise;
}

function holds(rule: CompiledRule, view: CallView): boolean {
  for (const clause of rule.clauses) {
    if (clause(view)) return true;
  }
  return false;
}

function byDefault({ byDefault: { policy, allowed, refused, inCluster } }: CompiledPolicy, peer: PeerFacts): Decision {
  switch (policy) {
    case "all-unauthenticated":
    case "audit":
      return allowed;
    case "all-authenticated":
      return peer.authenticated ? allowed : refused;
    case "cluster-authenticated":
      return peer.authenticated && inCluster(peer.address) === true ? allowed : refused;
    case "cluster-unauthenticated":
      return inCluster(peer.address) === true ? allowed : refused;
    case "deny":
      return refused;
  }
}
