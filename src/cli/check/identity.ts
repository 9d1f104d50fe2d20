/** Is the certificate authority sound, and for how long? The lines are Linkerd's, but for the last two. */
import { X509Certificate } from "node:crypto";

import type { IdentityAnswer } from "../control-client.ts";
import { rotationLine } from "../identity/show.ts";
import type { Category, Check } from "./check.ts";
import type { World } from "./world.ts";

const DAY_MS = 86_400_000;
/** Days that a root and the issuer should have left (Linkerd's number). */
export const DAYS_LEFT_MIN = 60;
/** Bits of an RSA key below which nobody should trust it any more (NIST SP 800-131A). */
const RSA_BITS_MIN = 2_048;
const CURVES = ["prime256v1", "secp384r1", "secp521r1"];

interface Dated {
  readonly fingerprint: string;
  readonly subject: string;
  readonly notBefore: string;
  readonly notAfter: string;
}

/** The three things that hold of roots and issuer alike. */
function soundness(
  subject: string,
  which: (answer: IdentityAnswer) => readonly (Dated & { readonly pem: string })[],
  change: string,
): Check<World>[] {
  const plural = subject.endsWith("s");
  const [are, their] = plural ? ["are", "their"] : ["is", "its"];
  return [
    {
      description: `${subject} ${are} using supported crypto algorithm`,
      severity: "error",
      async problems(world) {
        return which(await world.identity()).flatMap((one) => {
          const weakness = weaknessOf(one.pem);
          return weakness === undefined ? [] : [`${named(one)}: ${weakness}`];
        });
      },
    },
    {
      description: `${subject} ${are} within ${their} validity period`,
      severity: "error",
      async problems(world) {
        return which(await world.identity()).flatMap((one) => {
          if (Date.parse(one.notAfter) <= world.now) return [`${named(one)} has expired at ${one.notAfter}`];
          return Date.parse(one.notBefore) > world.now ? [`${named(one)} is not valid before ${one.notBefore}`] : [];
        });
      },
    },
    {
      description: `${subject} ${are} valid for at least ${DAYS_LEFT_MIN} days`,
      severity: "warning",
      async problems(world) {
        return which(await world.identity()).flatMap((one) => {
          const days = (Date.parse(one.notAfter) - world.now) / DAY_MS;
          if (days >= DAYS_LEFT_MIN || days <= 0) return [];
          return [`${named(one)} expires in ${Math.floor(days)} days, at ${one.notAfter}: ${change}`];
        });
      },
    },
  ];
}

const trustAnchors = (answer: IdentityAnswer): readonly (Dated & { readonly pem: string })[] =>
  // What a rotation takes away just now needs to last no longer.
  answer.roots.filter(({ retiring }) => !retiring);

const issuer = (answer: IdentityAnswer): readonly (Dated & { readonly pem: string })[] => [
  { ...answer.issuer, pem: answer.issuer.chain[0] ?? "" },
];

export const identity: Category<World> = {
  name: "heddle-identity",
  checks: [
    {
      description: "certificate config is valid",
      severity: "error",
      async problems(world) {
        const { problem } = await world.identity();
        return problem === "" ? [] : [problem, "what the files said before stays in force"];
      },
    },
    ...soundness("trust anchors", trustAnchors, "heddle identity rotate"),
    ...soundness("issuer cert", issuer, "heddle identity rotate --issuer"),
    {
      description: "issuer cert is issued by the trust anchor",
      severity: "error",
      async problems(world) {
        const answer = await world.identity();
        const roots = answer.roots.map(({ pem }) => new X509Certificate(pem));
        const chain = answer.issuer.chain.map((pem) => new X509Certificate(pem));
        return descends(chain, roots) ? [] : [`${named(answer.issuer)} descends from none of the trust anchors`];
      },
    },
    {
      description: "no rotation of certificates is under way",
      severity: "warning",
      retry: true,
      async problems(world) {
        const answer = await world.identity();
        return answer.rotation === null ? [] : [`since ${answer.rotation.startedAt}: ${rotationLine(answer)}`];
      },
    },
    {
      description: "certificate authority survives a restart",
      severity: "warning",
      async problems(world) {
        if ((await world.identity()).kept) return [];
        return ["the control plane has no --state-dir: when it is restarted, every sidecar must be started anew"];
      },
    },
  ],
};

/** undefined: there is none. */
function weaknessOf(pem: string): string | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = new X509Certificate(pem).publicKey;
  if (type === "ec") {
    const curve = details?.namedCurve ?? "";
    return CURVES.includes(curve) ? undefined : `a key on the curve ${curve}; expected ${CURVES.join(", ")}`;
  }
  if (type === "ed25519") return undefined;
  if (type !== "rsa") return `a key of the type ${type ?? "unknown"}; expected ec, rsa or ed25519`;
  const bits = details?.modulusLength ?? 0;
  return bits >= RSA_BITS_MIN ? undefined : `an RSA key of ${bits} bits; expected at least ${RSA_BITS_MIN}`;
}

function descends(chain: readonly X509Certificate[], roots: readonly X509Certificate[]): boolean {
  for (const [index, certificate] of chain.entries()) {
    if (roots.some((root) => signed(certificate, root))) return true;
    const above = chain[index + 1];
    if (above === undefined || !signed(certificate, above)) return false;
  }
  return false;
}

function signed(certificate: X509Certificate, by: X509Certificate): boolean {
  return certificate.checkIssued(by) && certificate.verify(by.publicKey);
}

/** "O=shop, CN=root (1a2b3c4d5e6f7081)" */
function named({ subject, fingerprint }: Dated): string {
  return `${subject} (${fingerprint.slice(0, 16)})`;
}
