/**
 * Bounded pools of the fixed-size blocks that outgoing bytes are gathered in. Two sizes: most turns write less than the
 * small one, so thousands of busy connections stay cheap; bodies move in the large one.
 */

/** What a connection gathers small writes in. */
export const SMALL_BLOCK_BYTES = 16 * 1024;

/** The most that one reservation can ask for: an HTTP/2 frame of default size and its head fit well. */
export const LARGE_BLOCK_BYTES = 64 * 1024;

/** Free blocks of each size kept for reuse; what comes back above that is left to the garbage collector. */
export const FREE_BLOCKS_MAX = 64;

/** Copies up to this size are not worth a block. */
const TINY_BYTES = 4 * 1024;

const freeSmall: Buffer[] = [];
const freeLarge: Buffer[] = [];

/**
 * A block with undefined content that holds at least `length` bytes.
 *
 * @param length at most {@link LARGE_BLOCK_BYTES}
 * @throws RangeError if `length` is larger than any block
 */
export function acquireBlock(length: number): Buffer {
  if (length <= SMALL_BLOCK_BYTES) return freeSmall.pop() ?? Buffer.allocUnsafeSlow(SMALL_BLOCK_BYTES);
  if (length <= LARGE_BLOCK_BYTES) return freeLarge.pop() ?? Buffer.allocUnsafeSlow(LARGE_BLOCK_BYTES);
  throw new RangeError(`a block holds at most ${LARGE_BLOCK_BYTES} bytes, asked for ${length}`);
}

/** Gives a block back. The caller must not touch it again. */
export function releaseBlock(block: Buffer): void {
  const free = block.length === SMALL_BLOCK_BYTES ? freeSmall : freeLarge;
  if (free.length < FREE_BLOCKS_MAX) free.push(block);
}

/**
 * A copy of some bytes, in a block if they fit into one, to be given back with {@link releaseCopy}. Bodies that wait go
 * through here: left to the garbage collector, such copies pile up faster than it runs.
 */
export function copyBytes(bytes: Uint8Array): Buffer {
  if (bytes.length > LARGE_BLOCK_BYTES || bytes.length <= TINY_BYTES) return Buffer.from(bytes);
  const block = acquireBlock(bytes.length);
  block.set(bytes);
  return block.subarray(0, bytes.length);
}

/** Gives back what {@link copyBytes} gave. The caller must not touch it again. */
export function releaseCopy(copy: Buffer): void {
  const size = copy.buffer.byteLength;
  if (copy.byteOffset !== 0 || (size !== SMALL_BLOCK_BYTES && size !== LARGE_BLOCK_BYTES)) return;
  if (copy.length > TINY_BYTES) releaseBlock(Buffer.from(copy.buffer as ArrayBuffer));
}

/** Blocks of both sizes waiting for reuse. */
export function freeBlocks(): number {
  return freeSmall.length + freeLarge.length;
}
