/** Every parser that reads what others write. */
import type { Target } from "./target.ts";
import { clientHello } from "./targets/client-hello.ts";
import { detect } from "./targets/detect.ts";
import { exposition } from "./targets/exposition.ts";
import { grpcFrames } from "./targets/grpc-frames.ts";
import { grpcText } from "./targets/grpc-text.ts";
import { hpack } from "./targets/hpack.ts";
import { http1Client } from "./targets/http1-client.ts";
import { http1Llhttp } from "./targets/http1-llhttp.ts";
import { http1Server } from "./targets/http1-server.ts";
import { http2Client } from "./targets/http2-client.ts";
import { http2Nghttp2 } from "./targets/http2-nghttp2.ts";
import { http2Server } from "./targets/http2-server.ts";
import { meshYaml } from "./targets/mesh-yaml.ts";
import { resources } from "./targets/resources.ts";
import { policyRegex } from "./targets/policy-regex.ts";
import { policyRequest } from "./targets/policy-request.ts";

export const targets: readonly Target[] = [
  http1Server,
  http1Client,
  http1Llhttp,
  http2Server,
  http2Client,
  http2Nghttp2,
  hpack,
  detect,
  clientHello,
  grpcText,
  grpcFrames,
  exposition,
  meshYaml,
  resources,
  policyRegex,
  policyRequest,
];
