/** Registrations on the disk, so that a restarted control plane knows every workload at once. */
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";

import type { Clock, Timer } from "../../net/clock.ts";
import type { Logger } from "../../telemetry/log.ts";
import { parseRegistration, type Registration } from "./registration.ts";
import { WORKLOADS_MAX } from "./registry.ts";

/** Milliseconds in which changes are gathered before they are written. */
export const WRITE_DELAY_MS = 100;
/** Milliseconds until a failed write is tried again. */
export const WRITE_RETRY_MS = 5_000;
/** Bytes of a state file; a larger one is neither written nor read. */
export const STATE_BYTES_MAX = 256 * 1024 * 1024;

const STATE_FILE = "workloads.json";
const STATE_VERSION = 1;

export interface RegistryStoreOptions {
  readonly folder: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What is to be written. */
  readonly registrations: () => readonly Registration[];
}

export class RegistryStore {
  readonly #options: RegistryStoreOptions;
  readonly #file: string;
  #dirty = false;
  #timer: Timer | undefined;
  #writing: Promise<void> | undefined;
  #closed = false;

  constructor(options: RegistryStoreOptions) {
    this.#options = options;
    this.#file = join(options.folder, STATE_FILE);
  }

  /**
   * What was written last. A file that cannot be understood is moved aside with a warning.
   *
   * @throws Error if the folder cannot be made or read
   */
  async load(): Promise<Registration[]> {
    await mkdir(this.#options.folder, { recursive: true, mode: 0o700 });
    let text: string;
    try {
      const { size } = await stat(this.#file);
      if (size > STATE_BYTES_MAX) return await this.#moveAside(`it has ${size} bytes`);
      text = await readFile(this.#file, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
    try {
      return parseState(text);
    } catch (error) {
      return await this.#moveAside((error as Error).message);
    }
  }

  /** The registrations have changed: writes them soon. */
  changed(): void {
    this.#dirty = true;
    this.#writeAfter(WRITE_DELAY_MS);
  }

  /** Writes what is not written yet. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#writing;
    if (this.#dirty) await this.#write();
  }

  #writeAfter(delayMs: number): void {
    if (this.#closed || this.#timer !== undefined || this.#writing !== undefined) return;
    this.#timer = this.#options.clock.after(delayMs, () => {
      this.#timer = undefined;
      this.#writing = this.#write().then((written) => {
        this.#writing = undefined;
        if (this.#dirty) this.#writeAfter(written ? WRITE_DELAY_MS : WRITE_RETRY_MS);
      });
    });
  }

  async #write(): Promise<boolean> {
    this.#dirty = false;
    const temporary = `${this.#file}.new`;
    try {
      const state = JSON.stringify({ version: STATE_VERSION, workloads: this.#options.registrations() });
      if (state.length > STATE_BYTES_MAX) throw new Error(`they take more than ${STATE_BYTES_MAX} bytes`);
      await rm(temporary, { force: true });
      const handle = await open(temporary, "wx", 0o600);
      try {
        await handle.writeFile(`${state}\n`);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, this.#file);
      return true;
    } catch (error) {
      this.#dirty = true;
      const { message } = error as Error;
      this.#options.logger.warn("registrations cannot be written", { file: this.#file, reason: message });
      return false;
    }
  }

  async #moveAside(reason: string): Promise<Registration[]> {
    const aside = `${this.#file}.corrupt`;
    await rename(this.#file, aside);
    this.#options.logger.warn("the file of registrations is not readable and was moved aside", {
      file: this.#file,
      aside,
      reason,
    });
    return [];
  }
}

/** @throws Error that says what is wrong */
function parseState(text: string): Registration[] {
  const state = JSON.parse(text) as { version?: unknown; workloads?: unknown } | null;
  if (state?.version !== STATE_VERSION) throw new Error(`expected version ${STATE_VERSION}`);
  if (!Array.isArray(state.workloads)) throw new Error("expected a list of workloads");
  if (state.workloads.length > WORKLOADS_MAX) throw new Error(`expected at most ${WORKLOADS_MAX} workloads`);
  return state.workloads.map((value: unknown, i) => {
    const { namespace, name, admin, outbound, ...rest } = Object(value) as Record<string, unknown>;
    const optional = { ...(admin === "" ? {} : { admin }), ...(outbound === "" ? {} : { outbound }) };
    const parsed = parseRegistration(String(namespace), String(name), { ...rest, ...optional });
    if ("registration" in parsed) return parsed.registration;
    const first = parsed.errors[0];
    throw new Error(`workloads[${i}].${first?.field ?? ""}: ${first?.message ?? "not valid"}`);
  });
}
