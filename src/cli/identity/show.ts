/** What `heddle identity` prints. */
import type { IdentityAnswer } from "../control-client.ts";
import { table, type Column } from "../output.ts";

/** Characters of a fingerprint that people compare. */
const SHORT = 16;

const left = (title: string): Column => ({ title, align: "left" });
const CERTIFICATES = ["CERTIFICATE", "FINGERPRINT", "EXPIRES", "STATE"].map(left);
const PROXIES = ["NAMESPACE", "WORKLOAD", "IDENTITY", "EXPIRES", "ISSUER", "ROOTS", "CONNECTED"].map(left);

export function identityText(answer: IdentityAnswer): string {
  const { trustDomain, source, leafLifetimeSeconds, roots, issuer, proxies } = answer;
  const authority = source === "files" ? "from files" : "embedded";
  const head = [
    `trust domain: ${trustDomain}`,
    `authority: ${authority}; certificates of sidecars are good for ${duration(leafLifetimeSeconds)}`,
    `rotation: ${rotationLine(answer)}`,
  ];
  const certificates = [
    ...roots.map((root) => certificateCells("root", root, root.retiring ? "retiring" : "trusted")),
    certificateCells("issuer", issuer, "signs"),
  ];
  const lines = proxies.map((proxy) => {
    const expires = proxy.notAfter === null ? "-" : seconds(proxy.notAfter);
    const signer = proxy.issuer === null ? "-" : proxy.issuer === issuer.fingerprint ? "current" : "other";
    const trusted = roots.filter(({ fingerprint }) => proxy.roots.includes(fingerprint)).length;
    const connected = proxy.connected ? "yes" : "no";
    const { namespace, workload, identity } = proxy;
    return [namespace, workload, identity, expires, signer, `${trusted}/${roots.length}`, connected];
  });
  const parts = [`${head.join("\n")}\n`, table(CERTIFICATES, certificates)];
  if (lines.length > 0) parts.push(table(PROXIES, lines));
  return parts.join("\n");
}

export function identityJson(answer: IdentityAnswer): Record<string, unknown> {
  const { rotation } = answer;
  return {
    trust_domain: answer.trustDomain,
    authority: answer.source,
    leaf_lifetime_seconds: answer.leafLifetimeSeconds,
    roots: answer.roots.map((root) => ({ ...certificateJson(root), retiring: root.retiring, pem: root.pem })),
    issuer: certificateJson(answer.issuer),
    rotation:
      rotation === null
        ? null
        : {
            phase: rotation.phase,
            started_at: rotation.startedAt,
            waiting_for: rotation.waitingFor,
            returning: rotation.returning,
          },
    proxies: answer.proxies.map(({ notAfter, ...proxy }) => ({ ...proxy, not_after: notAfter })),
  };
}

const PHASES = {
  trust: "1 of 3, sidecars learn whom to trust",
  renew: "2 of 3, sidecars get certificates by the new issuer",
  retire: "3 of 3, sidecars learn whom to trust no more",
} as const;

/** Names that one line lists. */
const NAMES_MAX = 5;

/** "none", or how far it is and who is waited for. */
export function rotationLine({ rotation }: IdentityAnswer): string {
  if (rotation === null) return "none";
  const { phase, waitingFor, returning } = rotation;
  if (returning) return `${PHASES[phase]}; the control plane was restarted and waits for sidecars to come back`;
  if (waitingFor.length === 0) return `${PHASES[phase]}; all have`;
  const names = waitingFor
    .slice(0, NAMES_MAX)
    .map(({ namespace, workload, lost }) => `${namespace}/${workload}${lost ? " (not connected)" : ""}`);
  const more = waitingFor.length > NAMES_MAX ? ` and ${waitingFor.length - NAMES_MAX} more` : "";
  return `${PHASES[phase]}; waiting for ${names.join(", ")}${more}`;
}

function certificateJson({
  fingerprint,
  subject,
  notBefore,
  notAfter,
}: Omit<IdentityAnswer["issuer"], "chain">): object {
  return { fingerprint, subject, not_before: notBefore, not_after: notAfter };
}

function certificateCells(
  what: string,
  { fingerprint, notAfter }: Omit<IdentityAnswer["issuer"], "chain">,
  state: string,
): string[] {
  return [what, fingerprint.slice(0, SHORT), seconds(notAfter), state];
}

/** Without the milliseconds that certificates do not have. */
function seconds(time: string): string {
  return time.replace(/\.\d+Z$/, "Z");
}

function duration(inSeconds: number): string {
  if (inSeconds % 3_600 === 0) return `${inSeconds / 3_600}h`;
  return inSeconds % 60 === 0 ? `${inSeconds / 60}m` : `${inSeconds}s`;
}
