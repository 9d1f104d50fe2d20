/** Files that hold keys: only their owner may read them. */
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** Bytes of such a file: a few certificates and keys. */
export const SECRET_FILE_BYTES_MAX = 1024 * 1024;

/** Permissions that nobody but the owner may have. */
const OTHERS = 0o077;

/**
 * @returns undefined if there is no such file
 * @throws Error that names the file and says what to do: others can read it, it is too long, it cannot be read
 */
export async function readSecretFile(file: string): Promise<string | undefined> {
  let handle;
  try {
    handle = await open(file, "r");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw new Error(code === "EACCES" ? `this user may not read ${file}` : message, { cause: error });
  }
  try {
    const { mode, size } = await handle.stat();
    if ((mode & OTHERS) !== 0) {
      const found = (mode & 0o777).toString(8).padStart(4, "0");
      throw new Error(`${file} holds a key, but others than its owner can reach it (mode ${found}): chmod 600 ${file}`);
    }
    if (size > SECRET_FILE_BYTES_MAX) {
      throw new Error(`${file} has ${size} bytes; expected at most ${SECRET_FILE_BYTES_MAX}`);
    }
    return await handle.readFile("utf8");
  } finally {
    await handle.close();
  }
}

/** Replaces the file in one step: whoever reads it sees the old text or the new one. Makes its folder if need be. */
export async function writeSecretFile(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const temporary = `${file}.new`;
  await rm(temporary, { force: true });
  const handle = await open(temporary, "wx", 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
}
