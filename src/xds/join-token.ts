/**
 * The text of a join token: by what a sidecar proves who it is the first time, and by what it knows its control plane,
 * before it has a certificate.
 *
 *   hjt1.<id>.<secret>.<root>[.<root>…]       a root: its DER in base64url
 *
 * What is sent to the control plane is `id.secret` ({@link joinProof}); the roots are for the sidecar only.
 */

export interface JoinToken {
  /** No secret: base64url. */
  readonly id: string;
  /** base64url. */
  readonly secret: string;
  /** DER: every root that the control plane's certificate may descend from, 1 to {@link JOIN_ROOTS_MAX}. */
  readonly roots: readonly Uint8Array[];
}

/** Roots in one token. */
export const JOIN_ROOTS_MAX = 64;
/** Characters of a token: it has to fit into a variable of the environment, for which Linux has 128 KiB (execve(2)). */
export const JOIN_TOKEN_CHARACTERS_MAX = 120_000;

const VERSION = "hjt1";
const WORD = /^[A-Za-z0-9_-]{1,256}$/;
const BASE64URL = /^[A-Za-z0-9_-]+$/;

/** Says what is wrong with a token, and nothing of what is in it. */
export class JoinTokenError extends Error {}

/** @throws JoinTokenError if no sidecar could be given it: too many roots, or too large ones */
export function encodeJoinToken({ id, secret, roots }: JoinToken): string {
  if (roots.length === 0 || roots.length > JOIN_ROOTS_MAX) {
    throw new JoinTokenError(`a join token takes 1 to ${JOIN_ROOTS_MAX} roots, found ${roots.length}`);
  }
  const text = [VERSION, id, secret, ...roots.map((root) => Buffer.from(root).toString("base64url"))].join(".");
  if (text.length <= JOIN_TOKEN_CHARACTERS_MAX) return text;
  throw new JoinTokenError(
    `the roots make a join token of ${text.length} characters; at most ${JOIN_TOKEN_CHARACTERS_MAX} are taken`,
  );
}

/** @throws JoinTokenError */
export function decodeJoinToken(text: string): JoinToken {
  if (text.length > JOIN_TOKEN_CHARACTERS_MAX) {
    throw new JoinTokenError(`expected at most ${JOIN_TOKEN_CHARACTERS_MAX} characters, found ${text.length}`);
  }
  const [version, id, secret, ...roots] = text.split(".");
  if (version !== VERSION) throw new JoinTokenError(`expected a text that begins with "${VERSION}."`);
  if (id === undefined || secret === undefined || roots.length === 0) {
    throw new JoinTokenError(`expected ${VERSION}.ID.SECRET.ROOT: a part is missing, so it was cut`);
  }
  if (!WORD.test(id) || !WORD.test(secret)) throw new JoinTokenError("its first parts are not base64url");
  if (roots.length > JOIN_ROOTS_MAX) {
    throw new JoinTokenError(`expected at most ${JOIN_ROOTS_MAX} roots, found ${roots.length}`);
  }
  return { id, secret, roots: roots.map(decodeRoot) };
}

/** What is sent as a proof. */
export function joinProof({ id, secret }: Pick<JoinToken, "id" | "secret">): string {
  return `${id}.${secret}`;
}

function decodeRoot(text: string, index: number): Buffer {
  const der = Buffer.from(text, "base64url");
  if (!BASE64URL.test(text) || der.toString("base64url") !== text) {
    throw new JoinTokenError(`root ${index + 1} in it is not base64url`);
  }
  if (!isWhole(der)) throw new JoinTokenError(`root ${index + 1} in it is not a whole certificate, so it was cut`);
  return der;
}

/** Is it one SEQUENCE of DER, from its first to its last octet (X.690 §8.1.3)? What stands in it is for others to read. */
function isWhole(der: Buffer): boolean {
  const [tag, short = 0] = der;
  if (tag !== 0x30) return false;
  if (short < 0x80) return der.length === 2 + short;
  const octets = short - 0x80;
  if (octets < 1 || octets > 4 || der.length < 2 + octets) return false;
  return der.length === 2 + octets + der.readUIntBE(2, octets);
}
