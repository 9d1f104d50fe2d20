/**
 * A network namespace with a mount namespace beside it, for one workload. Nothing but this process has hold of it, and
 * what runs inside: when both are gone, even by SIGKILL, the kernel takes down all that is in it, interfaces, addresses,
 * rules and mounts. There is no name, no file and no daemon to clean up after.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { BoundSocket, Socket } from "node:net";

import { libc } from "../../../net/libc.ts";
import type { SocketAddress } from "../../../proxy/config.ts";
import { Failure } from "../../errors.ts";
import { type Ran, runHere } from "../../init/firewall.ts";

/** sched.h */
const CLONE_NEWNET = 0x40000000;

export interface EnterOptions {
  /** Where it runs. */
  readonly directory: string;
  /** The user and group that it becomes; default: those of this process. */
  readonly uid?: number;
}

export class Namespace {
  readonly #net: number;
  readonly #mounts: number;

  private constructor(net: number, mounts: number) {
    this.#net = net;
    this.#mounts = mounts;
  }

  /** @throws Failure if this user or this machine may not */
  static async create(): Promise<Namespace> {
    // It says when it is there, and stays until it is held.
    const script = "echo there; read -r held";
    const child = spawn("unshare", ["--net", "--mount", "/bin/sh", "-c", script], { stdio: ["pipe", "pipe", "pipe"] });
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
    child.on("error", (error) => (said ||= error.message));
    child.stdin.on("error", () => {});
    const closed = once(child, "close").catch(() => undefined);
    await Promise.race([once(child.stdout, "data").catch(() => undefined), closed]);
    if (child.pid === undefined || child.exitCode !== null) {
      throw new Failure(`cannot make a network namespace: ${said.trim()}`, NEEDS_ROOT);
    }
    try {
      const net = openSync(`/proc/${child.pid}/ns/net`, "r");
      return new Namespace(net, openSync(`/proc/${child.pid}/ns/mnt`, "r"));
    } finally {
      child.stdin.end();
      await closed;
    }
  }

  /** By which `ip` and `nsenter` find it. */
  get path(): string {
    return descriptorPath(this.#net);
  }

  /** The command line that runs something inside; more arguments may follow. */
  enter(command: readonly string[], { directory, uid }: EnterOptions): string[] {
    const user = uid === undefined ? [] : [`--setuid=${uid}`, `--setgid=${uid}`];
    // A folder is looked up anew inside: one that was open before would lie outside of what is mounted there.
    const change = 'cd "$1" && shift && exec "$@"';
    return [
      ...["nsenter", `--net=${this.path}`, `--mount=${descriptorPath(this.#mounts)}`, ...user, "--"],
      ...["/bin/sh", "-c", change, "heddle", directory, ...command],
    ];
  }

  /** Runs something inside to its end. */
  readonly run = (command: readonly string[], input: string): Promise<Ran> =>
    runHere(this.enter(command, { directory: "/" }), input);

  /** @throws Failure with what it said, if it fails */
  async shell(script: string, ...args: readonly string[]): Promise<void> {
    const { code, stderr } = await this.run(["/bin/sh", "-e", "-c", script, "heddle", ...args], "");
    if (code !== 0) throw new Failure(`cannot set up a network namespace: ${stderr.trim()}`, NEEDS_ROOT);
  }

  /**
   * A socket inside. To which namespace a socket belongs is settled when it is made, so this thread is inside for just
   * that moment, in which nothing else can run.
   *
   * @throws Error of bind(2)
   */
  bind(address: SocketAddress): BoundSocket {
    const { setns } = libc();
    const outside = openSync("/proc/thread-self/ns/net", "r");
    let bound: BoundSocket | undefined;
    let failure: unknown;
    try {
      if (setns(this.#net, CLONE_NEWNET) !== 0) throw new Failure("cannot enter a network namespace", NEEDS_ROOT);
      bound = new BoundSocket(address);
    } catch (error) {
      failure = error;
    }
    const left = setns(outside, CLONE_NEWNET) === 0;
    closeSync(outside);
    if (!left) throw new Error("cannot leave a network namespace: what follows would happen in the wrong one");
    if (bound === undefined) throw failure;
    return bound;
  }

  /** Connects from inside. */
  connect({ host, port }: SocketAddress): Socket {
    const any = host.includes(":") ? "::" : "0.0.0.0";
    return new Socket({ handle: this.bind({ host: any, port: 0 }), allowHalfOpen: true }).connect({ host, port });
  }

  /** It goes when the last program in it has. */
  close(): void {
    closeSync(this.#net);
    closeSync(this.#mounts);
  }
}

const NEEDS_ROOT = "It takes root (or CAP_SYS_ADMIN and CAP_NET_ADMIN), and the packages util-linux and iproute2.";

/** An open file of this process, for others. */
function descriptorPath(descriptor: number): string {
  return `/proc/${process.pid}/fd/${descriptor}`;
}
