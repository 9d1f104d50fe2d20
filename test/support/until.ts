/** Waits for something that happens elsewhere, without guessing how long it takes. */

/**
 * Resolves once `condition` holds.
 *
 * @throws Error with `what` in it if that takes longer than `timeoutMs`
 */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 5_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`within ${timeoutMs} ms it did not happen: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
