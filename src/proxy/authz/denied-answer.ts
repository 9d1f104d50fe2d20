/** The answer of an external authorizer that has said no, in the words of the request's protocol. */
import type { HeaderList, RequestHead, ResponseHead } from "../../protocol/exchange.ts";
import { encodeGrpcMessage, grpcCodeOfHttp, grpcKind } from "../../protocol/grpc.ts";
import { failures } from "../failure.ts";
import type { ExternalVerdict } from "./external.ts";

const { code, kind, summary } = failures.externalDenied;

/** @param workload "price-1.default", whose sidecar answers */
export function deniedAnswer(
  request: RequestHead,
  { status, headers, body }: Extract<ExternalVerdict, { kind: "denied" }>,
  workload: string,
): { readonly answer: ResponseHead; readonly body: Buffer } {
  const fields: HeaderList = [...headers, "heddle-error", `${code} ${kind}`, "heddle-hop", `inbound ${workload}`];
  const grpc = request.upgrade === "" ? grpcKind(request.headers) : "";
  if (grpc === "grpc") {
    const message = encodeGrpcMessage(`${code}: ${body === "" ? summary : body}`);
    fields.push(
      "content-type",
      "application/grpc",
      "grpc-status",
      String(grpcCodeOfHttp(status)),
      "grpc-message",
      message,
    );
    return { answer: { status: 200, reason: "", headers: fields, upgrade: "" }, body: Buffer.alloc(0) };
  }
  const bytes = Buffer.from(body);
  fields.push("content-length", String(bytes.length));
  return {
    answer: { status, reason: "", headers: fields, upgrade: "" },
    body: request.method === "HEAD" ? Buffer.alloc(0) : bytes,
  };
}
