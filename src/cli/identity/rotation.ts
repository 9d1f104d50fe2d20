/** Begins a rotation of the mesh's certificates, or joins one that is under way, and says how far it is until it is complete. */
import { setTimeout as sleep } from "node:timers/promises";

import { ControlError, type ControlClient, type IdentityAnswer } from "../control-client.ts";
import { Failure } from "../errors.ts";
import type { Io } from "../io.ts";
import { rotationLine } from "./show.ts";

/** Milliseconds between two questions. */
const ASK_EVERY_MS = 250;
/** Milliseconds that the control plane may be away: it goes on where it was when it comes back. */
const AWAY_MAX_MS = 60_000;

/** @returns what holds afterwards */
export async function watchRotation(
  client: Pick<ControlClient, "identity" | "rotate">,
  what: "all" | "issuer",
  io: Io,
): Promise<IdentityAnswer> {
  const before = await client.identity();
  if (before.rotation === null) await client.rotate(what);
  else io.stderr.write(`A rotation is under way since ${before.rotation.startedAt}; this watches it.\n`);
  let said = "";
  for (;;) {
    const answer = await patiently(client, io);
    if (answer.rotation === null) {
      io.stderr.write("Rotated.\n");
      return answer;
    }
    const line = rotationLine(answer);
    if (line !== said) io.stderr.write(`${line}\n`);
    said = line;
    await sleep(ASK_EVERY_MS);
  }
}

/** @throws Failure if it stays away, or answers with an error */
async function patiently(client: Pick<ControlClient, "identity">, io: Io): Promise<IdentityAnswer> {
  const until = performance.now() + AWAY_MAX_MS;
  let said = false;
  for (;;) {
    try {
      return await client.identity();
    } catch (error) {
      if (!(error instanceof Failure) || error instanceof ControlError || performance.now() > until) throw error;
      if (!said) io.stderr.write("The control plane does not answer; waiting for it.\n");
      said = true;
      await sleep(ASK_EVERY_MS);
    }
  }
}
