/** A policy that cannot be obeyed: a network that is none, an expression that is not taken, a provider that is not there. */
export class PolicyError extends Error {
  override readonly name = "PolicyError";
}
