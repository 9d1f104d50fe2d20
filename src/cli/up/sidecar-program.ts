/** A sidecar as a program to start: each start needs a join token of its own, since a token is good once. */
import type { ProxyConfig } from "../../proxy/config.ts";
import { JOIN_TOKEN_VARIABLE, proxyCommandLine } from "../proxy-flags.ts";
import { heddleProgram, type Host } from "./host.ts";
import type { Program } from "./process.ts";

/** Milliseconds between two attempts to get a token, while the control plane does not answer. */
export const TOKEN_RETRY_MS = 200;

/**
 * Waits until the control plane has given a token: without it the sidecar would know no service and prove nothing.
 *
 * @param name for the log: "price-1/proxy"
 * @param wanted asked before each attempt
 * @returns undefined once it is wanted no more
 */
export async function sidecarProgram(
  host: Host,
  name: string,
  config: ProxyConfig,
  wanted: () => boolean,
): Promise<Program | undefined> {
  if (config.identity === undefined) return heddleProgram(host, proxyCommandLine(config));
  const { namespace, workload, identity } = config;
  if (identity === undefined) return heddleProgram(host, proxyCommandLine(config));
  let refusal = "";
  while (wanted()) {
    try {
      const { serviceAccount } = identity;
      const { token, trustDomain } = await host.client.joinToken({ namespace, serviceAccount, workload });
      const program = heddleProgram(host, proxyCommandLine({ ...config, identity: { ...identity, trustDomain } }));
      return { ...program, env: { ...program.env, [JOIN_TOKEN_VARIABLE]: token } };
    } catch (error) {
      // Who does not answer is expected back; who refuses says why.
      const { message, status } = error as { message: string; status?: number };
      if (status !== undefined && message !== refusal) {
        refusal = message;
        host.log.notice(name, `gets no join token: ${message}`);
      }
    }
    await new Promise<void>((resolve) => void host.clock.after(TOKEN_RETRY_MS, resolve));
  }
  return undefined;
}
