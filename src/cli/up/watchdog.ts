/**
 * Leaves no orphans behind. A shell outside our process group is told the process groups that we start; its standard input
 * ends when this process is gone, even by SIGKILL, and then it ends what is left of them. A shell, because it costs a
 * megabyte, is on every machine, and one is enough for any number of programs, which need not know of it.
 */
import { spawn, type ChildProcess } from "node:child_process";

/** Seconds between asking the groups to end and killing them. */
const GRACE_SECONDS = 1;

const SCRIPT = `
groups=" "
while read -r change group; do
  case $change in
    watch) groups="$groups$group " ;;
    forget) groups="\${groups%% "$group" *} \${groups#* "$group" }" ;;
  esac
done
for group in $groups; do kill -s TERM -- "-$group"; done 2>/dev/null
case $groups in *[0-9]*) sleep ${GRACE_SECONDS} ;; esac
for group in $groups; do kill -s KILL -- "-$group"; done 2>/dev/null
`;

export class Watchdog {
  readonly #groups = new Set<number>();
  #shell: ChildProcess | undefined;
  #closed = false;

  /** @param group a process group, by the id of its leader */
  watch(group: number): void {
    this.#groups.add(group);
    if (this.#shell === undefined) this.#start();
    else this.#tell("watch", group);
  }

  forget(group: number): void {
    if (this.#groups.delete(group)) this.#tell("forget", group);
  }

  /** Ends the shell, and with it every group that was not forgotten. */
  close(): void {
    this.#closed = true;
    this.#shell?.stdin?.end();
  }

  #start(): void {
    const shell = spawn("/bin/sh", ["-c", SCRIPT, "heddle-watchdog"], {
      cwd: "/",
      detached: true,
      stdio: ["pipe", "ignore", "ignore"],
    });
    this.#shell = shell;
    // Told of by `exit`.
    shell.stdin.on("error", () => undefined);
    shell.on("error", () => undefined);
    shell.on("exit", () => {
      this.#shell = undefined;
      // Somebody ended it: another one takes over.
      if (!this.#closed && this.#groups.size > 0) this.#start();
    });
    // It must not keep this process alive: its end is what the shell waits for.
    shell.unref();
    (shell.stdin as unknown as { unref(): void }).unref();
    for (const group of this.#groups) this.#tell("watch", group);
  }

  #tell(change: "watch" | "forget", group: number): void {
    this.#shell?.stdin?.write(`${change} ${group}\n`);
  }
}
