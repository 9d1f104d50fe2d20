/** The inbound policy engine: what the sidecar enforces, and what the control plane explains, is decided here. */
export { type Call, type CallRequest, type Decision, type JwtClaims, type Peer, UNNAMED_PORT } from "./call.ts";
export { type CompiledPolicy, compilePolicy, whereOf } from "./compile.ts";
export { decide } from "./decide.ts";
export { PolicyError } from "./error.ts";
export { type Excess, RateLimiter } from "./rate-limit.ts";
export { JwtGate, type JwtOutcome } from "./jwt/gate.ts";
