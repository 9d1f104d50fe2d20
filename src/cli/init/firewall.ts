/** Puts capture rules in force, or takes them away: by nft where there is one, else by iptables. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";

import { Failure } from "../errors.ts";
import { type CaptureRules, iptablesScript, iptablesUndo, NFT_UNDO, nftScript } from "./rules.ts";

export interface Ran {
  /** null: there is no such program, or it was ended by a signal. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly missing: boolean;
}

/** Runs a program to its end. It never rejects. */
export type Run = (command: readonly string[], input: string) => Promise<Ran>;

export type FirewallKind = "nftables" | "iptables";

/** Milliseconds that one of these programs may take; iptables may wait for another one that holds its lock. */
const TIMEOUT_MS = 30_000;

export const runHere: Run = (command, input) => {
  const [file = "", ...args] = command;
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"], timeout: TIMEOUT_MS });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    // It may end before it has read everything.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    child.on("error", (error: NodeJS.ErrnoException) =>
      resolve({ code: null, stdout, stderr: error.message, missing: error.code === "ENOENT" }),
    );
    child.on("close", (code) => resolve({ code, stdout, stderr, missing: false }));
  });
};

/** @throws Failure if there is none */
export async function findFirewall(run: Run): Promise<FirewallKind> {
  if ((await run(["nft", "--version"], "")).code === 0) return "nftables";
  if ((await run(["iptables", "--version"], "")).code === 0) return "iptables";
  throw new Failure(
    "there is neither nft nor iptables",
    "Install the package nftables (or iptables), or put it into the PATH of this command.",
  );
}

/** One program with what it reads. */
export interface Step {
  readonly command: readonly string[];
  readonly input: string;
}

/** What puts the rules in force. @throws Failure if the present rules cannot be read */
export async function captureSteps(kind: FirewallKind, rules: CaptureRules, run: Run): Promise<Step[]> {
  if (kind === "nftables") return [{ command: ["nft", "-f", "-"], input: nftScript(rules) }];
  const steps: Step[] = [];
  for (const family of families()) {
    steps.push(restore(family, iptablesScript(rules, family, await presentRules(family, run))));
  }
  return steps;
}

/** What takes them away, whichever program has put them there: nothing if there are none. */
export async function undoSteps(run: Run): Promise<Step[]> {
  const steps: Step[] = [];
  if ((await run(["nft", "--version"], "")).code === 0) steps.push({ command: ["nft", "-f", "-"], input: NFT_UNDO });
  if ((await run(["iptables", "--version"], "")).code === 0) steps.push(...(await iptablesUndoSteps(run)));
  if (steps.length === 0) await findFirewall(run);
  return steps;
}

/** The chains that iptables has left where nft takes over. */
async function iptablesUndoSteps(run: Run): Promise<Step[]> {
  const steps: Step[] = [];
  for (const family of families()) {
    const script = iptablesUndo(await presentRules(family, run));
    if (script !== undefined) steps.push(restore(family, script));
  }
  return steps;
}

/** @throws Failure saying what was refused */
export async function perform(steps: readonly Step[], run: Run): Promise<void> {
  for (const { command, input } of steps) failIfRefused(command, await run(command, input));
}

function families(): (4 | 6)[] {
  return existsSync("/proc/net/if_inet6") ? [4, 6] : [4];
}

function iptables(family: 4 | 6): string {
  return family === 4 ? "iptables" : "ip6tables";
}

function restore(family: 4 | 6, input: string): Step {
  return { command: [`${iptables(family)}-restore`, "--wait", "--noflush"], input };
}

async function presentRules(family: 4 | 6, run: Run): Promise<string> {
  const command = [`${iptables(family)}-save`, "-t", "nat"];
  const ran = await run(command, "");
  failIfRefused(command, ran);
  return ran.stdout;
}

function failIfRefused(command: readonly string[], { code, stderr, missing }: Ran): void {
  if (code === 0) return;
  const [program = ""] = command;
  if (missing) throw new Failure(`there is no ${program}`, "Install the package nftables (or iptables).");
  if (/not permitted|permission denied|you must be root/i.test(stderr)) {
    throw new Failure(
      "may not change the firewall of this network namespace",
      "Run it as root, or with the capabilities NET_ADMIN and NET_RAW.",
    );
  }
  const said = stderr.trim().split("\n")[0] ?? "";
  throw new Failure(`${program} refused the rules: ${said === "" ? `it ended with ${code}` : said}`);
}
