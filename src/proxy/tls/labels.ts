/** What metrics say of TLS, in Linkerd's words. */
import { linkerdName, parseSpiffeId } from "../../model/identity.ts";
import type { Labels } from "../../telemetry/metrics.ts";
import type { Direction } from "../metrics.ts";

/** Of a sidecar without an identity. */
const DISABLED: Labels = { tls: "disabled" };

/** Between a sidecar that has one and its application. */
const LOOPBACK: Labels = { tls: "no_identity", no_tls_reason: "loopback" };

const NOT_PROVIDED: Labels = { tls: "no_identity", no_tls_reason: "not_provided_by_service_discovery" };

const PLAIN_CALLER: Labels = { tls: "no_identity", no_tls_reason: "no_tls_from_remote" };

/** TLS of the application's own. */
const OPAQUE: Labels = { tls: "opaque" };

/** Of what this sidecar connects to. @param secured it has an identity @param identity that the other must prove, or "" */
export function serverLabels(secured: boolean, direction: Direction, identity: string): Labels {
  if (!secured) return DISABLED;
  if (direction === "inbound") return LOOPBACK;
  return identity === "" ? NOT_PROVIDED : { tls: "true", server_id: nameOf(identity) };
}

/** Of what the application connects to at its sidecar. */
export function localLabels(secured: boolean): Labels {
  return secured ? LOOPBACK : DISABLED;
}

/** Of who calls from the mesh. @param identity that was proved, or "" @param opaque it speaks TLS with the application */
export function callerLabels(secured: boolean, identity: string, opaque: boolean): Labels {
  if (!secured) return DISABLED;
  if (identity !== "") return { tls: "true", client_id: nameOf(identity) };
  return opaque ? OPAQUE : PLAIN_CALLER;
}

/** An identity as metrics and TLS have it: Linkerd's name, or as it is if it is none of ours. */
export function nameOf(identity: string): string {
  const known = parseSpiffeId(identity);
  return known === undefined ? identity : linkerdName(known);
}
