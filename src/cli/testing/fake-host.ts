/** A machine for a supervisor in a test: processes that start and end when the test says so, a control plane that remembers. */
import type { SocketAddress } from "../../proxy/config.ts";
import type { JoinToken, TokenSubject, WorkloadRegistration } from "../control-client.ts";
import type { Host } from "../up/host.ts";
import type { ProcessEvents, ProcessExit, Program, RunningProcess } from "../up/process.ts";
import { VirtualClock } from "../../net/virtual-clock.ts";

export class FakeProcess implements RunningProcess {
  readonly program: Program;
  readonly signals: NodeJS.Signals[] = [];
  running = true;
  readonly #events: ProcessEvents;

  constructor(program: Program, events: ProcessEvents) {
    this.program = program;
    this.#events = events;
  }

  signal(signal: NodeJS.Signals): void {
    this.signals.push(signal);
    if (signal === "SIGKILL") this.exit({ signal });
  }

  line(text: string): void {
    this.#events.onLine(text);
  }

  exit(exit: Partial<ProcessExit> = {}): void {
    if (!this.running) return;
    this.running = false;
    this.#events.onExit({ code: null, signal: null, startError: "", ...exit });
  }
}

export class FakeHost implements Host {
  readonly clock = new VirtualClock();
  readonly processes: FakeProcess[] = [];
  /** "PUT default/price-1 healthy" and the like, in order. */
  readonly calls: string[] = [];
  readonly registrations = new Map<string, WorkloadRegistration>();
  readonly lines: string[] = [];
  readonly heddle = ["heddle"];
  readonly env = { PATH: "/bin" };
  /** Ports that accept connections and answer 2xx. */
  readonly open = new Set<number>();
  readonly probe = {
    accepts: ({ port }: SocketAddress): Promise<boolean> => Promise.resolve(this.open.has(port)),
    answers: ({ port }: SocketAddress): Promise<boolean> => Promise.resolve(this.open.has(port)),
  };
  /** Join tokens given. */
  tokens = 0;
  /** Thrown by the control plane; undefined: it answers. */
  trouble: Error | undefined;

  readonly log = {
    line: (name: string, text: string): void => void this.lines.push(`${name} | ${text}`),
    notice: (name: string, text: string): void => void this.lines.push(`${name} ${text}`),
  };

  readonly client = {
    ready: (): Promise<boolean> => Promise.resolve(this.trouble === undefined),
    /** Each is another. */
    joinToken: async ({ namespace, serviceAccount, workload }: TokenSubject): Promise<JoinToken> => {
      if (this.trouble !== undefined) throw this.trouble;
      this.tokens++;
      const token = `token ${this.tokens} of ${workload} as ${namespace}/${serviceAccount}`;
      return { token, trustDomain: "mesh.test" };
    },
    register: async (namespace: string, name: string, registration: WorkloadRegistration): Promise<void> => {
      this.calls.push(`PUT ${namespace}/${name} ${registration.health}`);
      if (this.trouble !== undefined) throw this.trouble;
      this.registrations.set(`${namespace}/${name}`, registration);
    },
    deregister: async (namespace: string, name: string): Promise<void> => {
      this.calls.push(`DELETE ${namespace}/${name}`);
      if (this.trouble !== undefined) throw this.trouble;
      this.registrations.delete(`${namespace}/${name}`);
    },
  };

  readonly spawner = (program: Program, events: ProcessEvents): FakeProcess => {
    const process = new FakeProcess(program, events);
    this.processes.push(process);
    return process;
  };

  get running(): FakeProcess[] {
    return this.processes.filter((process) => process.running);
  }
}

/** Lets everything that is due happen, without time passing. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}
