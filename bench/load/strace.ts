/** What `strace -c` counted. */

export interface SyscallCounts {
  readonly calls: number;
  readonly byName: ReadonlyMap<string, number>;
}

/** @throws Error if it is not the table that strace 6 prints */
export function parseStrace(text: string): SyscallCounts {
  // % time, seconds, µs per call, calls, errors (may be empty), name
  const lines = [...text.matchAll(/^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?([a-z]\w*)$/gm)];
  const byName = new Map(lines.map((match) => [match[2] ?? "", Number(match[1])] as const));
  byName.delete("total");
  if (byName.size === 0) throw new Error(`strace printed something else:\n${text}`);
  return { calls: [...byName.values()].reduce((sum, count) => sum + count, 0), byName };
}
