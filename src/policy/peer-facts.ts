/** A peer's identity in every form that rules may name, and its address as a number: worked out once per peer. */
import type { IdentityForm } from "../model/inbound-policy.ts";
import { linkerdName, parseSpiffeId } from "../model/identity.ts";
import { type IpAddress, parseAddress } from "../model/network.ts";
import type { Peer } from "./call.ts";

export interface PeerFacts {
  readonly authenticated: boolean;
  readonly forms: Readonly<Record<IdentityForm, string>>;
  /** undefined if it is not known. */
  readonly address: IpAddress | undefined;
}

const NO_IDENTITY: Readonly<Record<IdentityForm, string>> = {
  spiffe: "",
  principal: "",
  linkerd: "",
  namespace: "",
  "service-account": "",
  "trust-domain": "",
  service: "",
};

const known = new WeakMap<Peer, PeerFacts>();

export function factsOf(peer: Peer): PeerFacts {
  let facts = known.get(peer);
  if (facts === undefined) {
    facts = {
      authenticated: peer.identity !== "",
      forms: formsOf(peer.identity),
      address: parseAddress(peer.address),
    };
    known.set(peer, facts);
  }
  return facts;
}

/** What a peer without TLS of the mesh is, whoever it is. */
export function withoutIdentity(facts: PeerFacts): PeerFacts {
  return facts.authenticated ? { ...facts, authenticated: false, forms: NO_IDENTITY } : facts;
}

/** An id of another form than ours has no namespace and no service account, but its trust domain. */
function formsOf(spiffe: string): Readonly<Record<IdentityForm, string>> {
  if (spiffe === "") return NO_IDENTITY;
  const principal = spiffe.replace(/^spiffe:\/\//, "");
  const trustDomain = principal.split("/", 1)[0] ?? "";
  const identity = parseSpiffeId(spiffe);
  if (identity === undefined) return { ...NO_IDENTITY, spiffe, principal, "trust-domain": trustDomain };
  const { namespace, serviceAccount } = identity;
  return {
    spiffe,
    principal,
    linkerd: linkerdName(identity),
    namespace,
    "service-account": `${namespace}/${serviceAccount}`,
    "trust-domain": trustDomain,
    service: serviceAccount,
  };
}
