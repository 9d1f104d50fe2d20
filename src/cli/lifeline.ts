/**
 * A process that must not outlive its parent holds one end of a pipe whose other end only the parent has: when the parent
 * is gone, even by SIGKILL, the pipe ends. bin/heddle gives it as the file descriptor named by HEDDLE_LIFELINE.
 */
import { Socket } from "node:net";

/** Ends this process, as SIGTERM would, when the parent that gave a lifeline is gone. Does nothing without one. */
export function endWithParent(): void {
  const descriptor = process.env["HEDDLE_LIFELINE"];
  if (descriptor === undefined) return;
  // Ours alone: children of this process have another parent.
  delete process.env["HEDDLE_LIFELINE"];
  const pipe = new Socket({ fd: Number(descriptor), readable: true, writable: false });
  pipe.on("end", endOrderly).on("error", endOrderly).resume().unref();
}

function endOrderly(): void {
  process.kill(process.pid, "SIGTERM");
}
