/** Byte streams of one port, judged when they begin and whenever the policy changes. What is refused is reset. */
import type { Connection } from "../../net/connection.ts";
import type { FarSide, FarSideOwner } from "../far-side.ts";
import { failures } from "../failure.ts";
import type { Session } from "../listener.ts";
import { refuseOpaque } from "../opaque-forward.ts";
import type { OpaqueService } from "../serve.ts";
import type { Guard, Live } from "./guard.ts";

export function guardBytes(guard: Guard, next: OpaqueService): OpaqueService {
  const { context } = guard;
  const refusal = refuseOpaque(failures.forbidden.kind, "inbound", context);
  return {
    serve(connection, first, ended, ahead, done): Session {
      const call = guard.bytesCall(connection);
      if (!guard.open) {
        const decision = guard.judge(call);
        guard.counterOf(call, decision).inc();
        if (!decision.allowed) {
          ahead?.giveUp();
          return refusal.serve(connection, first, ended, undefined, done);
        }
      }
      let session: Session | undefined;
      const live: Live = { call, cut: () => session?.destroy() };
      guard.hold(live);
      session = next.serve(connection, first, ended, ahead, () => {
        guard.release(live);
        done();
      });
      return session;
    },
    /** The application is not to hear of strangers. */
    dialAhead(owner: FarSideOwner, connection: Connection): FarSide | undefined {
      return guard.open || guard.allows(guard.bytesCall(connection)) ? next.dialAhead(owner, connection) : undefined;
    },
  };
}
