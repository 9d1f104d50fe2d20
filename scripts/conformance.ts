/**
 * `npm run conformance`: h2spec's whole list, strict, against both listeners of real sidecars. Ends with 1 unless every case
 * passes and none is skipped.
 */
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";

import { startProcessMesh } from "../test/support/sidecar-processes.ts";
import { buildH2spec, findGo, type Part, PARTS, runPart, shortfall, type Verdict } from "./conformance/h2spec.ts";

const USAGE = `Usage: npm run conformance [-- --help]

Holds the sidecars to RFC 9113 and RFC 7541: builds h2spec (through the Go module proxy, as pinned in
scripts/conformance/go.mod), starts a control plane, two sidecars and an application, and runs the whole list, strict
cases included, against

  inbound    the listener that the application's sidecar has for the mesh
  outbound   the upstream listener that the caller's sidecar has for its application; answers come through both sidecars

Ends with 0 if every case passes, with 1 if one fails or is skipped. Without a Go toolchain it says so and ends with 0.
`;

if (process.argv.includes("--help") || process.argv.includes("-h")) {
  process.stdout.write(USAGE);
} else {
  process.exitCode = await main();
}

async function main(): Promise<number> {
  const go = findGo();
  if (go === undefined) {
    console.log("NOT RUN: h2spec is a Go program, and no Go toolchain was found on the path. See https://go.dev/dl/.");
    return 0;
  }
  console.log("building h2spec");
  const h2spec = await buildH2spec(go);
  const application = http.createServer((request, response) => {
    request.resume();
    request.on("end", () => response.end("an answer long enough to be sent in several frames"));
  });
  application.listen(0, "127.0.0.1");
  await once(application, "listening");
  console.log("starting a control plane, an application and two sidecars");
  const mesh = await startProcessMesh((application.address() as AddressInfo).port);
  try {
    const rows: (Verdict & { listener: string })[] = [];
    for (const [listener, port] of [
      ["inbound", mesh.inbound.port],
      ["outbound", mesh.outbound.upstreamPort],
    ] as const) {
      for (const part of Object.keys(PARTS) as Part[]) {
        process.stdout.write(`h2spec ${part}, ${listener} listener: `);
        const verdict = await runPart(h2spec, part, port);
        console.log(shortfall(verdict) === "" ? "passed" : `NOT PASSED\n${shortfall(verdict)}`);
        rows.push({ listener, ...verdict });
      }
    }
    console.log(`\n${table(rows)}\n`);
    const whole = rows.every((row) => shortfall(row) === "");
    console.log(whole ? "Every case passes, none was skipped." : "NOT CONFORMANT: see the failures above.");
    return whole ? 0 : 1;
  } finally {
    await mesh.close();
    application.close();
    application.closeAllConnections();
  }
}

function table(rows: readonly (Verdict & { listener: string })[]): string {
  const lines = [
    ["LISTENER", "LIST", "CASES", "PASSED", "SKIPPED", "FAILED"],
    ...rows.map(({ listener, part, tests, passed, skipped, failed }) =>
      [listener, part, tests, passed, skipped, failed].map(String),
    ),
  ];
  const widths = [9, 8, 6, 7, 8, 6];
  return lines
    .map((cells) =>
      cells
        .map((cell, i) => cell.padEnd(widths[i] as number))
        .join(" ")
        .trimEnd(),
    )
    .join("\n");
}
