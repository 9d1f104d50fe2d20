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

/**
 * Adds bytes behind a copy where its block has room for them, so that many small pieces do not become many objects.
 *
 * @returns the longer copy, in place of the old one, or undefined if it has no room
 */
export function extendCopy(copy: Buffer, bytes: Uint8Array): Buffer | undefined {
  const length = copy.length + bytes.length;
  if (isInBlock(copy)) {
    if (length > copy.buffer.byteLength) return undefined;
    const longer = Buffer.from(copy.buffer as ArrayBuffer, 0, length);
    longer.set(bytes, copy.length);
    return longer;
  }
  if (length <= TINY_BYTES) return Buffer.concat([copy, bytes], length);
  if (copy.length > TINY_BYTES || length > SMALL_BLOCK_BYTES) return undefined;
  const block = acquireBlock(length);
  block.set(copy);
  block.set(bytes, copy.length);
  return block.subarray(0, length);
}

/** Bytes of memory that a copy takes up: those of its block, if it has one. */
export function copyCapacity(copy: Buffer): number {
  return isInBlock(copy) ? copy.buffer.byteLength : copy.length;
}

/** Gives back what {@link copyBytes} gave. The caller must not touch it again. */
export function releaseCopy(copy: Buffer): void {
  if (isInBlock(copy)) releaseBlock(Buffer.from(copy.buffer as ArrayBuffer));
}

function isInBlock(copy: Buffer): boolean {
  const size = copy.buffer.byteLength;
  return (
    copy.length > TINY_BYTES && copy.byteOffset === 0 && (size === SMALL_BLOCK_BYTES || size === LARGE_BLOCK_BYTES)
  );
}

/** Blocks of both sizes waiting for reuse. */
export function freeBlocks(): number {
  return freeSmall.length + freeLarge.length;
}
