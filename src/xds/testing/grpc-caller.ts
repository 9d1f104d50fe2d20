/**
 * A process with a proxyless gRPC client, driven over IPC: its xDS bootstrap is global, from GRPC_XDS_BOOTSTRAP_CONFIG.
 */
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { register } from "@grpc/grpc-js-xds";

/** One call to make. */
export interface CallRequest {
  readonly id: number;
  /** "xds:///price-grpc" */
  readonly target: string;
  readonly deadlineMs: number;
}

export interface CallResult {
  readonly id: number;
  /** The gRPC status code. */
  readonly code: number;
  /** The answer, or the status message. */
  readonly text: string;
}

/** The method that every echo server of the tests has. */
export const ECHO_PATH = "/heddle.test.Echo/Who";

const clients = new Map<string, Client>();
const asIs = (bytes: Buffer): Buffer => bytes;

function call({ id, target, deadlineMs }: CallRequest): void {
  let client = clients.get(target);
  if (client === undefined) clients.set(target, (client = new Client(target, credentials.createInsecure())));
  const answer = (error: ServiceError | null, value?: Buffer): void => {
    const result: CallResult = { id, code: error?.code ?? 0, text: error?.details ?? value?.toString() ?? "" };
    process.send?.(result);
  };
  const deadline = Date.now() + deadlineMs;
  client.makeUnaryRequest(ECHO_PATH, asIs, asIs, Buffer.alloc(0), { deadline }, answer);
}

if (process.send !== undefined) {
  register();
  process.on("message", (request) => call(request as CallRequest));
  process.on("disconnect", () => process.exit());
}
