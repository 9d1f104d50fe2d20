/** Tells when the content of a file may have changed, also when an editor puts a new file in its place. */
import { watch } from "node:fs";
import { basename, dirname } from "node:path";

/** Editors write in several steps; the content is looked at when they have been quiet for so long. */
const QUIET_MS = 100;

/** @returns stops watching */
export function watchFile(file: string, onChange: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  // The folder, not the file: a file that is replaced takes its watch with it.
  const watcher = watch(dirname(file), (_event, name) => {
    if (name !== null && name !== basename(file)) return;
    clearTimeout(timer);
    timer = setTimeout(onChange, QUIET_MS);
  });
  watcher.on("error", () => watcher.close());
  return () => {
    clearTimeout(timer);
    watcher.close();
  };
}
