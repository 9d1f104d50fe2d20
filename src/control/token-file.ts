/**
 * Where a control plane leaves its API token for the commands of the same user. They find it by the address that they have
 * reached, and nobody else can read it.
 *
 * A name says on which address the control plane listens, and in which network stack: 127.0.0.1 is somewhere else in
 * another namespace, and on another machine that has the same home folder. A command takes a token only of an address that
 * it did reach: beside a control plane on 127.0.0.1, anybody may listen on the same port of ::1.
 */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { isIPv4 } from "node:net";
import { userInfo } from "node:os";
import { dirname, isAbsolute, join } from "node:path";

import type { Address } from "./address.ts";
import { API_TOKEN_CHARACTERS_MAX, apiTokenProblem } from "./api-token.ts";

/** Files that a folder keeps: a control plane that is killed leaves its own, and each free port that it chose is another. */
export const TOKEN_FILES_MAX = 256;

const SUFFIX = ".token";
/** Permissions that nobody but the owner may have. */
const OTHERS = 0o077;
const OTHERS_WRITE = 0o022;

export type Environment = Readonly<Record<string, string | undefined>>;

export interface TokenFile {
  readonly file: string;
  /** Does nothing if another control plane has its token there by now. */
  remove(): void;
}

/** Whom a command has reached. */
export interface Reached extends Address {
  /** It is this machine. */
  readonly local: boolean;
}

export type FoundToken =
  | { readonly token: string; readonly file: string }
  /** `problem` says which file was looked for, and what is wrong with it. */
  | { readonly token: undefined; readonly problem: string };

/**
 * The folder of this process's user: in HOME, unless that belongs to somebody else (sudo may leave it); in the home folder
 * that the system knows (a service may have no HOME); or, for a user who has none that can be written to (in containers),
 * in the folder for temporary files.
 */
export function tokenFolder(env: Environment): string {
  for (const home of [env["HOME"], homeOfUser()]) {
    if (home !== undefined && isAbsolute(home) && isOursToWrite(home)) return join(home, ".heddle", "api");
  }
  return join(env["TMPDIR"] || "/tmp", `heddle-${userId()}`, "api");
}

/**
 * Replaces the file in one step. Takes no turn of the event loop: who listens already has written it before the first request.
 *
 * @throws Error that says what is wrong with the folder
 */
export function writeTokenFile(folder: string, address: Address, token: string): TokenFile {
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  checkFolder(folder);
  const file = join(folder, nameOf(address.host, address.port));
  const temporary = `${file}.new`;
  fs.rmSync(temporary, { force: true });
  fs.writeFileSync(temporary, `${token}\n`, { flag: "wx", mode: 0o600 });
  fs.renameSync(temporary, file);
  forgetOldest(folder, file);
  return { file, remove: () => removeIf(file, token) };
}

/** The token of the control plane that was reached. Does not throw. */
export function findToken(folder: string, { host, port, local }: Reached): FoundToken {
  const address = host.replace(/^::ffff:(?=\d+\.)/i, "");
  const own = join(folder, nameOf(address, port));
  const all = local ? (isIPv4(address) ? ["0.0.0.0", "::"] : ["::"]) : [];
  try {
    const found = [own, ...all.map((any) => join(folder, nameOf(any, port)))].flatMap((file) => readToken(file) ?? []);
    // Nobody can listen on an address and on all at the same port: what is older was left by one that was killed.
    const newest = found.reduce((best, one) => (one.writtenAt > best.writtenAt ? one : best), found[0] ?? NONE);
    if (newest !== NONE) {
      checkFolder(folder);
      return newest;
    }
  } catch (error) {
    return { token: undefined, problem: (error as Error).message };
  }
  return { token: undefined, problem: `there is no file ${own}` };
}

interface ReadToken {
  readonly token: string;
  readonly file: string;
  /** Milliseconds since the epoch. */
  readonly writtenAt: number;
}

const NONE: ReadToken = { token: "", file: "", writtenAt: 0 };

/**
 * @returns undefined if there is no such file
 * @throws Error that names the file
 */
function readToken(file: string): ReadToken | undefined {
  let handle;
  try {
    // Whoever could put another kind of file there would have it waited for, or followed.
    handle = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw new Error(code === "EACCES" ? `this user may not read ${file}` : message, { cause: error });
  }
  try {
    const found = fs.fstatSync(handle);
    const { mode, uid, mtimeMs } = found;
    if (!found.isFile()) throw new Error(`${file} is no file`);
    if (uid !== userId()) throw new Error(`${file} belongs to another user (${uid})`);
    if ((mode & OTHERS) !== 0) {
      throw new Error(`${file} can be read by others than its owner (mode ${octal(mode)}): chmod 600 ${file}`);
    }
    const bytes = Buffer.alloc(API_TOKEN_CHARACTERS_MAX + 2);
    const token = bytes.toString("utf8", 0, fs.readSync(handle, bytes)).trim();
    if (apiTokenProblem(token) !== "") throw new Error(`${file} holds no token`);
    return { token, file, writtenAt: mtimeMs };
  } finally {
    fs.closeSync(handle);
  }
}

/** The folder and the one above it are ours. @throws Error */
function checkFolder(folder: string): void {
  for (const path of [dirname(folder), folder]) {
    const found = fs.lstatSync(path);
    if (!found.isDirectory()) throw new Error(`${path} is no folder`);
    if (found.uid !== userId()) throw new Error(`${path} belongs to another user (${found.uid})`);
    if ((found.mode & OTHERS_WRITE) !== 0) {
      throw new Error(
        `${path} can be written to by others than its owner (mode ${octal(found.mode)}): chmod 700 ${path}`,
      );
    }
  }
}

function nameOf(host: string, port: number): string {
  return `${host}-${port}-${networkStack()}${SUFFIX}`;
}

/** Another in each network namespace, on each machine. */
function networkStack(): string {
  const namespace = attempt(() => fs.readlinkSync("/proc/self/ns/net")) ?? "";
  const machine = attempt(() => fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8")) ?? "";
  return createHash("sha256").update(`${machine} ${namespace}`).digest("hex").slice(0, 8);
}

function forgetOldest(folder: string, own: string): void {
  const names = fs.readdirSync(folder).filter((name) => name.endsWith(SUFFIX));
  if (names.length <= TOKEN_FILES_MAX) return;
  const others = names.map((name) => join(folder, name)).filter((file) => file !== own);
  const ages = others.map((file) => ({ file, writtenAt: attempt(() => fs.statSync(file).mtimeMs) ?? 0 }));
  ages.sort((a, b) => b.writtenAt - a.writtenAt);
  for (const { file } of ages.slice(TOKEN_FILES_MAX - 1)) fs.rmSync(file, { force: true });
}

function removeIf(file: string, token: string): void {
  attempt(() => {
    if (fs.readFileSync(file, "utf8").trim() === token) fs.rmSync(file);
  });
}

function isOursToWrite(folder: string): boolean {
  return (
    attempt(() => {
      fs.accessSync(folder, fs.constants.W_OK | fs.constants.X_OK);
      const found = fs.statSync(folder);
      return found.isDirectory() && found.uid === userId();
    }) ?? false
  );
}

/** In a container, a user may have no entry among the system's users. */
function homeOfUser(): string | undefined {
  return attempt(() => userInfo().homedir);
}

function userId(): number {
  return process.geteuid?.() ?? 0;
}

function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, "0");
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
