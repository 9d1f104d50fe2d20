/** The authority that a control plane keeps by itself: a root and an issuer in the state folder, or in memory only. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { join } from "node:path";

import { makeCross, makeIssuer, makeRoot, type Signer } from "./certificates.ts";
import { readSecretFile, writeSecretFile } from "./secret-file.ts";
import type { Issuer, TrustGoal, TrustState } from "./trust-state.ts";

const DAY_MS = 86_400_000;
/** Milliseconds. */
export const ROOT_LIFETIME_MS = 3_650 * DAY_MS;
export const ISSUER_LIFETIME_MS = 365 * DAY_MS;

/** Changes of the root that a sidecar may have missed and still believe the control plane. */
export const CROSSES_MAX = 4;

/** In the state folder. */
export const EMBEDDED_FILE = "identity.json";
const VERSION = 1;

/** So that the first leaves, which are valid from a little before they are made, do not come before their authority. */
const BACKDATE_MS = 60_000;

interface Stored {
  readonly version: typeof VERSION;
  /** The newest: it signs issuers. */
  readonly root: Signer;
  readonly trust: TrustState;
}

export class EmbeddedAuthority {
  readonly #file: string | undefined;
  readonly #now: () => number;
  #root: Signer;
  /** Made for a rotation that is not saved yet. */
  #nextRoot: Signer | undefined;
  /** What was written last. */
  #trust: TrustState;

  private constructor(file: string | undefined, now: () => number, { root, trust }: Omit<Stored, "version">) {
    this.#file = file;
    this.#now = now;
    this.#root = root;
    this.#trust = trust;
  }

  /**
   * Reads what the folder has; makes a root and an issuer if it has none.
   *
   * @param folder undefined: nothing is kept, and a restart begins with another root
   * @throws Error that names the file and says what is wrong; nothing is written over then
   */
  static async open(folder: string | undefined, now: () => number): Promise<EmbeddedAuthority> {
    const file = folder === undefined ? undefined : join(folder, EMBEDDED_FILE);
    const text = file === undefined ? undefined : await readSecretFile(file);
    if (file !== undefined && text !== undefined) return new EmbeddedAuthority(file, now, parse(file, text));
    const root = await newRoot(now());
    const issuer = await newIssuer(root, now());
    const trust: TrustState = { roots: [root.certificate], issuer, crosses: [], retired: [], goal: undefined };
    const authority = new EmbeddedAuthority(file, now, { root, trust });
    await authority.save(trust);
    return authority;
  }

  get trust(): TrustState {
    return this.#trust;
  }

  /** Remembers what is in force. @throws Error if it cannot be written */
  async save(trust: TrustState): Promise<void> {
    const next = this.#nextRoot;
    const root = next !== undefined && trust.goal?.roots.includes(next.certificate) ? next : this.#root;
    if (this.#file !== undefined) {
      const stored: Stored = { version: VERSION, root, trust };
      await writeSecretFile(this.#file, `${JSON.stringify(stored, null, 2)}\n`);
    }
    this.#root = root;
    this.#trust = trust;
  }

  /** What a rotation leads to: a new issuer, and, unless only that is wanted, a new root above it. */
  async goal(what: "all" | "issuer"): Promise<TrustGoal> {
    const now = this.#now();
    const { roots, crosses } = this.#trust;
    if (what === "issuer") return { roots, crosses, issuer: await newIssuer(this.#root, now) };
    const root = await newRoot(now);
    this.#nextRoot = root;
    const cross = await newCross(root, this.#root, now);
    const good = [...cross, ...crosses].filter((one) => endOf(one) > now).slice(0, CROSSES_MAX);
    return { roots: [root.certificate], crosses: good, issuer: await newIssuer(root, now) };
  }
}

function newRoot(now: number): Promise<Signer> {
  return makeRoot({ notBefore: now - BACKDATE_MS, notAfter: now + ROOT_LIFETIME_MS });
}

/** @returns none if the root before is good no more */
async function newCross(root: Signer, before: Signer, now: number): Promise<string[]> {
  const notAfter = Math.min(endOf(root.certificate), endOf(before.certificate));
  if (notAfter <= now) return [];
  return [await makeCross(root.certificate, before, { notBefore: now - BACKDATE_MS, notAfter })];
}

async function newIssuer(root: Signer, now: number): Promise<Issuer> {
  const notAfter = Math.min(now + ISSUER_LIFETIME_MS, endOf(root.certificate));
  return { ...(await makeIssuer(root, { notBefore: now - BACKDATE_MS, notAfter })), intermediates: [] };
}

/** Milliseconds since the epoch. */
function endOf(certificate: string): number {
  return new X509Certificate(certificate).validToDate.getTime();
}

/** @throws Error. Such a file is never replaced: whoever has a certificate by it would be locked out. */
function parse(file: string, text: string): Omit<Stored, "version"> {
  try {
    const stored = JSON.parse(text) as Omit<Stored, "version"> & { readonly version: number };
    if (stored.version !== VERSION) throw new Error(`expected version ${VERSION}`);
    const { root, trust } = stored;
    const goal = trust.goal ?? undefined;
    // A state folder from before there were any has none.
    const { crosses = [] } = trust as Partial<TrustState>;
    for (const signer of [root, trust.issuer, ...(goal === undefined ? [] : [goal.issuer])]) {
      if (!new X509Certificate(signer.certificate).checkPrivateKey(createPrivateKey(signer.key))) {
        throw new Error("a key does not fit its certificate");
      }
    }
    for (const certificate of trust.roots) void new X509Certificate(certificate);
    if (trust.roots.length === 0) throw new Error("expected at least one root");
    if (!Array.isArray(trust.retired)) throw new Error("expected a list of retired roots");
    for (const certificate of crosses) void new X509Certificate(certificate);
    return { root, trust: { ...trust, crosses, goal } };
  } catch (error) {
    const hint = "restore it from a copy, or remove it: then all sidecars must be started again";
    throw new Error(`${file} is not readable (${(error as Error).message}); ${hint}`, { cause: error });
  }
}
