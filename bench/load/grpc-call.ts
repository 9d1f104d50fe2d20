/** gRPC: the call that the bench makes, and one of whose answer everything is looked at. */
import http2 from "node:http2";

export const GRPC_PATH = "/bench.Echo/Say";
const MESSAGE_BYTES = 200;
/** A message as gRPC frames it: not compressed, its length, its bytes. */
export const GRPC_MESSAGE = Buffer.concat([Buffer.from([0, 0, 0, 0, MESSAGE_BYTES]), Buffer.alloc(MESSAGE_BYTES, "g")]);

const CALL_TIMEOUT_MS = 5_000;

/** @throws Error unless one call comes back whole, with grpc-status 0 in its trailers */
export async function checkGrpc(port: number): Promise<void> {
  const client = http2.connect(`http://127.0.0.1:${port}`);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  client.on("error", reject);
  const call = client.request({
    [http2.constants.HTTP2_HEADER_METHOD]: "POST",
    [http2.constants.HTTP2_HEADER_PATH]: GRPC_PATH,
    "content-type": "application/grpc",
    te: "trailers",
  });
  const body: Buffer[] = [];
  let status: unknown;
  call.setTimeout(CALL_TIMEOUT_MS, () => reject(new Error("no answer to a gRPC call")));
  call.on("data", (chunk: Buffer) => body.push(chunk));
  call.on("trailers", (trailers) => (status = trailers["grpc-status"]));
  call.on("error", reject);
  call.on("end", () => {
    const echoed = Buffer.concat(body).equals(GRPC_MESSAGE);
    if (echoed && status === "0") resolve();
    else
      reject(
        new Error(`a gRPC call ended with grpc-status ${String(status)}, its message ${echoed ? "" : "not "}echoed`),
      );
  });
  call.end(GRPC_MESSAGE);
  try {
    await promise;
  } finally {
    client.destroy();
  }
}
