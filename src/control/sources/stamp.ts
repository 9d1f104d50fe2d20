/** Differs whenever a file or folder was written, replaced or removed. */
import { stat } from "node:fs/promises";

export async function stampOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
  } catch (error) {
    return `missing: ${(error as NodeJS.ErrnoException).code ?? ""}`;
  }
}
