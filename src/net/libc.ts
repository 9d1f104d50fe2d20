/**
 * What Node has no word for and the C library has: socket options and namespaces. By `node:ffi` (Node 26.1 and later,
 * stability 1), which is loaded when the first of them is wanted, in each thread by itself.
 */

export interface Libc {
  /** getsockopt(2): 0, or -1 for an error. `length` holds a 32-bit number, in the byte order of the machine. */
  readonly getsockopt: (descriptor: number, level: number, name: number, value: Buffer, length: Buffer) => number;
  /** setns(2), of the calling thread: 0, or -1 for an error. */
  readonly setns: (descriptor: number, kind: number) => number;
}

let loaded: Libc | undefined;

/** @throws Error that says what to do, if this Node cannot call C or the C library has no such functions (not Linux) */
export function libc(): Libc {
  loaded ??= load();
  return loaded;
}

function load(): Libc {
  // oxlint-disable-next-line typescript/unbound-method -- put back as it was
  const { emitWarning } = process;
  // That node:ffi is experimental is known here, and for users of Heddle no news.
  process.emitWarning = () => {};
  try {
    const ffi = process.getBuiltinModule("node:ffi");
    const { functions } = ffi.dlopen(null, {
      getsockopt: { arguments: ["i32", "i32", "i32", "buffer", "buffer"], return: "i32" },
      setns: { arguments: ["i32", "i32"], return: "i32" },
    });
    return functions;
  } catch (cause) {
    throw new Error(
      `cannot call the C library from this Node (${process.version}); it takes Linux and Node 26.1 or later without --no-experimental-ffi`,
      { cause },
    );
  } finally {
    process.emitWarning = emitWarning;
  }
}
