/** Fetches a key set from a file or over HTTP. */
import { open } from "node:fs/promises";
import { fileURLToPath } from "node:url";

/** Bytes of a key set. */
export const KEYS_BYTES_MAX = 1024 * 1024;

/**
 * @param uri "https://…", "http://…" or "file:///…"
 * @param timeoutMs milliseconds for all of it
 * @throws Error with what went wrong
 */
export async function loadKeys(uri: string, timeoutMs: number): Promise<string> {
  if (uri.startsWith("file:")) return readKeys(fileURLToPath(uri));
  // Who answers with another address may mean well, but the one in the policy is the one that is believed.
  const response = await fetch(uri, { signal: AbortSignal.timeout(timeoutMs), redirect: "error" });
  if (!response.ok || response.body === null) throw new Error(`${uri} answers ${response.status}`);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    size += chunk.length;
    if (size > KEYS_BYTES_MAX) throw new Error(`${uri} has more than ${KEYS_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

async function readKeys(path: string): Promise<string> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(KEYS_BYTES_MAX + 1), 0, KEYS_BYTES_MAX + 1, 0);
    if (bytesRead > KEYS_BYTES_MAX) throw new Error(`${path} has more than ${KEYS_BYTES_MAX} bytes`);
    return buffer.subarray(0, bytesRead).toString("utf8");
  } finally {
    await file.close();
  }
}
