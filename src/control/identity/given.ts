/**
 * An authority whose roots, issuer and issuer's key are files that somebody else keeps (cert-manager, Vault, a person). They
 * are followed as they change; what is not whole or does not fit changes nothing.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { signingKey } from "./certificates.ts";
import { readSecretFile, SECRET_FILE_BYTES_MAX, writeSecretFile } from "./secret-file.ts";
import { splitPem, subjectOf, type TrustGoal, type TrustState } from "./trust-state.ts";

/** Roots in the file. */
export const ROOTS_MAX = 16;
/** Certificates in the issuer's file. */
export const ISSUER_CHAIN_MAX = 4;

/** In the state folder: which roots were trusted last. It holds no key. */
export const GIVEN_FILE = "identity-roots.json";
const VERSION = 1;

/** Absolute paths. */
export interface IdentityFiles {
  readonly roots: string;
  readonly issuerCertificate: string;
  readonly issuerKey: string;
}

/**
 * What the files say.
 *
 * @param now milliseconds since the epoch
 * @throws Error that names the file, what was found and what was expected
 */
export async function readGiven(files: IdentityFiles, now: number): Promise<TrustGoal> {
  const roots = certificates(files.roots, await readPublic(files.roots), ROOTS_MAX);
  const chain = certificates(files.issuerCertificate, await readPublic(files.issuerCertificate), ISSUER_CHAIN_MAX);
  const key = await readSecretFile(files.issuerKey);
  if (key === undefined) throw new Error(`there is no file ${files.issuerKey}`);
  for (const root of roots) mustSign(files.roots, root, now);
  for (const certificate of chain) mustSign(files.issuerCertificate, certificate, now);
  const [issuer, ...intermediates] = chain as [X509Certificate, ...X509Certificate[]];
  mustFit(files, issuer, key);
  mustDescend(files, chain, roots);
  return {
    roots: unique(roots.map((root) => root.toString())),
    issuer: {
      certificate: issuer.toString(),
      key,
      // A root in the chain is of no use to peers: they go by their own.
      intermediates: intermediates.filter((one) => !one.checkIssued(one)).map((one) => one.toString()),
    },
    // They take the key of a root, which is not among the files.
    crosses: [],
  };
}

/** Which roots were trusted before a restart, so that who was away meanwhile is still known. */
export class GivenMemory {
  readonly #file: string | undefined;

  /** @param folder undefined: nothing is remembered */
  constructor(folder: string | undefined) {
    this.#file = folder === undefined ? undefined : join(folder, GIVEN_FILE);
  }

  /** @throws Error that names the file */
  async load(): Promise<Pick<TrustState, "roots" | "retired">> {
    const text = this.#file === undefined ? undefined : await readSecretFile(this.#file);
    if (this.#file === undefined || text === undefined) return { roots: [], retired: [] };
    try {
      const { version, roots, retired } = JSON.parse(text) as Pick<TrustState, "roots" | "retired"> & {
        version: number;
      };
      if (version !== VERSION) throw new Error(`expected version ${VERSION}`);
      for (const certificate of roots) void new X509Certificate(certificate);
      for (const { certificate } of retired) void new X509Certificate(certificate);
      return { roots, retired };
    } catch (error) {
      const hint = "remove it: proxies that were away during a change of roots must then be started again";
      throw new Error(`${this.#file} is not readable (${(error as Error).message}); ${hint}`, { cause: error });
    }
  }

  async save({ roots, retired }: TrustState): Promise<void> {
    if (this.#file === undefined) return;
    await writeSecretFile(this.#file, `${JSON.stringify({ version: VERSION, roots, retired }, null, 2)}\n`);
  }
}

async function readPublic(file: string): Promise<string> {
  try {
    const text = await readFile(file, "utf8");
    if (text.length <= SECRET_FILE_BYTES_MAX) return text;
    throw new Error(`it has more than ${SECRET_FILE_BYTES_MAX} bytes`);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new Error(`there is no file ${file}`, { cause: error });
    throw new Error(code === "EACCES" ? `this user may not read ${file}` : `${file}: ${message}`, { cause: error });
  }
}

function certificates(file: string, text: string, most: number): X509Certificate[] {
  let found: string[];
  try {
    found = splitPem(text);
  } catch {
    throw new Error(`${file}: a certificate in it cannot be read; expected X.509 in PEM`);
  }
  if (found.length === 0) throw new Error(`${file}: expected certificates in PEM, found none`);
  if (found.length > most) throw new Error(`${file}: expected at most ${most} certificates, found ${found.length}`);
  return found.map((one) => new X509Certificate(one));
}

function mustSign(file: string, certificate: X509Certificate, now: number): void {
  const name = `${file}: the certificate "${subjectOf(certificate)}"`;
  if (!certificate.ca) throw new Error(`${name} is not an authority's (CA:TRUE): it cannot sign others`);
  const { validFromDate: from, validToDate: to } = certificate;
  if (to.getTime() <= now) throw new Error(`${name} has expired at ${to.toISOString()}`);
  if (from.getTime() > now) throw new Error(`${name} is not valid before ${from.toISOString()}`);
}

function mustFit({ issuerCertificate, issuerKey }: IdentityFiles, issuer: X509Certificate, text: string): void {
  let key;
  try {
    key = createPrivateKey(text);
  } catch {
    throw new Error(`${issuerKey}: expected a private key in PEM that is not encrypted`);
  }
  if (!issuer.checkPrivateKey(key)) {
    throw new Error(`${issuerKey}: the key is not that of the first certificate in ${issuerCertificate}`);
  }
  try {
    signingKey(text);
  } catch (error) {
    throw new Error(`${issuerKey}: ${(error as Error).message}`, { cause: error });
  }
}

function mustDescend(files: IdentityFiles, chain: readonly X509Certificate[], roots: readonly X509Certificate[]): void {
  for (const [index, certificate] of chain.entries()) {
    if (roots.some((root) => signed(certificate, root))) return;
    const above = chain[index + 1];
    if (above === undefined || !signed(certificate, above)) break;
  }
  throw new Error(`${files.issuerCertificate}: the issuer does not descend from a root in ${files.roots}`);
}

function signed(certificate: X509Certificate, by: X509Certificate): boolean {
  return certificate.checkIssued(by) && certificate.verify(by.publicKey);
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}
