/** A customer of the example shop: calls it through the keyboard's sidecar, as curl would. */
import { Agent, get } from "node:http";
import { connect, constants, type ClientHttp2Session } from "node:http2";
import type { SocketAddress } from "../../proxy/config.ts";
import { formatAddress } from "../values.ts";

/** Milliseconds that one answer may take. */
const ANSWER_TIMEOUT_MS = 5_000;
const PRODUCTS = 5;

export class ShopClient {
  readonly #outbound: SocketAddress;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });
  #session: ClientHttp2Session | undefined;
  #turn = 0;

  /** @param outbound the listener that finds a service by its Host */
  constructor(outbound: SocketAddress) {
    this.#outbound = outbound;
  }

  /** One product with its price, from the gateway. @returns whether the answer was no 5xx */
  async product(): Promise<boolean> {
    const { host, port } = this.#outbound;
    const path = `/api/products/${this.#nextId()}`;
    return new Promise((resolve, reject) => {
      const options = {
        host,
        port,
        path,
        agent: this.#agent,
        headers: { host: "gateway" },
        timeout: ANSWER_TIMEOUT_MS,
      };
      const request = get(options, (response) => {
        response.on("error", reject).on("end", () => resolve((response.statusCode ?? 500) < 500));
        response.resume();
      });
      request.on("timeout", () => request.destroy(new Error("no answer"))).on("error", reject);
    });
  }

  /** The price of one product over gRPC: unary GetPrice. @returns whether the status was OK */
  async price(): Promise<boolean> {
    const session = this.#grpcSession();
    return new Promise((resolve, reject) => {
      const stream = session.request({
        [constants.HTTP2_HEADER_METHOD]: "POST",
        [constants.HTTP2_HEADER_PATH]: "/shop.v1.PriceService/GetPrice",
        [constants.HTTP2_HEADER_AUTHORITY]: "price-grpc",
        [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc",
        [constants.HTTP2_HEADER_TE]: "trailers",
      });
      let status: unknown;
      const read = (headers: Readonly<Record<string, unknown>>): void => {
        status = headers["grpc-status"] ?? status;
      };
      stream.on("response", read).on("trailers", read).on("error", reject);
      stream.on("close", () => resolve(status === "0"));
      stream.setTimeout(ANSWER_TIMEOUT_MS, () => stream.close(constants.NGHTTP2_CANCEL));
      stream.resume();
      stream.end(getPriceRequest(this.#nextId()));
    });
  }

  close(): void {
    this.#agent.destroy();
    this.#session?.destroy();
  }

  #nextId(): number {
    this.#turn = (this.#turn % PRODUCTS) + 1;
    return this.#turn;
  }

  #grpcSession(): ClientHttp2Session {
    if (this.#session !== undefined && !this.#session.closed && !this.#session.destroyed) return this.#session;
    const session = connect(`http://${formatAddress(this.#outbound)}`);
    // Told of by the streams.
    session.on("error", () => undefined);
    this.#session = session;
    return session;
  }
}

/** shop.v1.GetPriceRequest{product_id} as a gRPC message: one uncompressed frame with field 1 as a varint below 128. */
function getPriceRequest(productId: number): Buffer {
  return Buffer.from([0, 0, 0, 0, 2, 0x08, productId]);
}
