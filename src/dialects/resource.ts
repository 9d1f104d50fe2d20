/** A document of a known kind, read: what files are made of once they are understood. */
import type { Origin } from "../model/inbound-policy.ts";
import type { PeerAuthentication } from "./istio/peer-authentication.ts";

/** Every kind that Heddle knows, and what a document of it says. The key is what makes names unique. */
export interface Specs {
  readonly "security.istio.io/PeerAuthentication": PeerAuthentication;
}

export type ResourceType = keyof Specs;

/** What a shape reads of a whole document. */
export interface ResourceText<S> {
  readonly name: string;
  /** undefined: it says none. */
  readonly namespace: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: S;
}

export interface ResourceOf<T extends ResourceType> {
  readonly type: T;
  readonly origin: Origin;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: Specs[T];
}

export type Resource = { readonly [T in ResourceType]: ResourceOf<T> }[ResourceType];

/** The same document, at the line of one of its rules. */
export function originAt(resource: { readonly origin: Origin }, line: number): Origin {
  return { ...resource.origin, line };
}
