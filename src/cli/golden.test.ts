import { after, before, describe, it } from "node:test";
import { commandHelp } from "./help.ts";
import { COMMANDS } from "./table.ts";
import { runCaptured, transcript } from "./testing/captured-io.ts";
import {
  AUTHZ_ROWS,
  EDGE_ROWS,
  ENDPOINT_ROWS,
  EXPLANATION,
  FakeControl,
  GENERATED,
  IDENTITY,
  IDENTITY_ROTATING,
  STAT_ROWS,
  WORKLOAD_ROWS,
} from "./testing/fake-control.ts";
import { matchesGolden } from "./testing/golden.ts";

describe("help", () => {
  it("lists the commands", async () => {
    matchesGolden("help/overview.txt", (await runCaptured(["--help"])).stdout);
  });

  for (const entry of COMMANDS) {
    it(`shows the flags and examples of ${entry.name}`, async () => {
      matchesGolden(`help/${entry.name}.txt`, commandHelp(await entry.load()));
    });
  }
});

describe("completion", () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    it(`is made for ${shell}`, async () => {
      matchesGolden(`completion/${shell}.txt`, (await runCaptured(["completion", shell])).stdout);
    });
  }
});

describe("errors", () => {
  const wrong: Record<string, string[]> = {
    "no-command": [],
    "unknown-command": ["stats"],
    "unlike-command": ["frobnicate"],
    "flag-before-command": ["--output", "stat"],
    "unknown-flag": ["stat", "--wach"],
    "unlike-flag": ["stat", "--frobnicate"],
    "no-value": ["stat", "-o"],
    "flag-for-value": ["stat", "--output", "--watch"],
    "value-for-switch": ["stat", "--watch=yes"],
    "no-choice": ["stat", "-o", "jsn"],
    "surplus-argument": ["stat", "services", "workloads"],
    "no-such-argument": ["stat", "servces"],
    "nothing-after-dashes": ["stat", "--", "x"],
    "no-dashes": ["run", "node", "server.js"],
    "no-program": ["run", "--service", "price"],
    "which-shell": ["completion"],
    "nothing-to-validate": ["validate"],
    "check-bad-wait": ["check", "--wait", "2"],
    "check-pre-proxy": ["check", "--pre", "--proxy"],
    "check-nothing-there": ["check", "--control", "127.0.0.1:1", "--wait", "0s"],
    "no-such-code": ["explain", "HED105"],
    "bad-window": ["stat", "-t", "1"],
    "bad-control": ["stat", "--control", "nowhere"],
    "nothing-there": ["stat", "--control", "127.0.0.1:1"],
    "no-mesh-file": ["up"],
    "control-open-api": ["control", "--api", "0.0.0.0:4180"],
    "proxy-open-admin": ["proxy", "--workload", "price-1", "--admin", "[::]:4191"],
    "authz-no-action": ["authz"],
    "authz-no-such-action": ["authz", "explian"],
    "authz-no-caller": ["authz", "explain", "--to", "price"],
    "authz-list-from": ["authz", "list", "--from", "price"],
    "authz-explain-since": ["authz", "explain", "--since", "5m"],
    "authz-surplus": ["authz", "generate", "price"],
    "authz-bad-header": ["authz", "explain", "--from", "a", "--to", "b", "--header", "x"],
    "authz-bad-path": ["authz", "explain", "--from", "a", "--to", "b", "--path", "x"],
    "authz-no-token": ["authz", "explain", "--from", "a", "--to", "b", "--jwt", "no-such-file"],
    "authz-bad-claims": ["authz", "explain", "--from", "a", "--to", "b", "--jwt", "{secret"],
    "proxy-no-workload": ["proxy"],
    "proxy-bad-xds": ["proxy", "--workload", "price-1", "--xds", "localhost:4181"],
    "proxy-bad-inbound": ["proxy", "--workload", "p", "--inbound", "127.0.0.1:1=127.0.0.1:2,service=p,protocl=http"],
    "proxy-bad-socket": ["proxy", "--workload", "p", "--inbound", "127.0.0.1:1=unix:run/app.sock,service=p"],
    "proxy-long-socket": ["proxy", "--workload", "p", "--inbound", `127.0.0.1:1=unix:/${"x".repeat(107)},service=p`],
    "proxy-bad-workers": ["proxy", "--workload", "price-1", "--workers", "65"],
    "identity-no-action": ["identity", "rotat"],
    "identity-no-workload": ["identity", "token"],
    "identity-issuer-of-show": ["identity", "--issuer"],
    "control-half-authority": ["control", "--identity-roots", "roots.pem"],
    "control-short-lifetime": ["control", "--identity-lifetime", "5s"],
    "demo-short-lifetime": ["demo", "--identity-lifetime", "5s"],
    "proxy-bad-grace": ["proxy", "--workload", "price-1", "--shutdown-grace", "2h"],
  };
  for (const [name, words] of Object.entries(wrong)) {
    it(`say what is wrong: ${name}`, async () => {
      matchesGolden(`errors/${name}.txt`, transcript(words, await runCaptured(words)));
    });
  }
});

describe("answers of the control plane", () => {
  let busy: FakeControl;
  let idle: FakeControl;
  before(async () => {
    busy = await FakeControl.start({
      "GET /api/v1/stat": { body: STAT_ROWS },
      "GET /api/v1/edges": { body: EDGE_ROWS },
      "GET /api/v1/authz": { body: AUTHZ_ROWS },
      "GET /api/v1/authz/generate": { body: GENERATED },
      "POST /api/v1/authz/explain": { body: EXPLANATION },
      "GET /api/v1/endpoints": { body: ENDPOINT_ROWS },
      "GET /api/v1/workloads": { body: WORKLOAD_ROWS },
      "GET /api/v1/version": { body: { version: "9.8.7" } },
      "GET /api/v1/identity": { body: IDENTITY_ROTATING },
    });
    idle = await FakeControl.start({
      "GET /api/v1/stat": { body: [] },
      "GET /api/v1/edges": { body: [] },
      "GET /api/v1/authz": { body: [] },
      "GET /api/v1/authz/generate": { body: { documents: [], notes: [] } },
      "POST /api/v1/authz/explain": { body: { ...EXPLANATION, allowed: true, verdicts: [], notes: ["nothing"] } },
      "GET /api/v1/endpoints": { body: [] },
      "GET /api/v1/workloads": { body: [] },
      "GET /api/v1/identity": { body: IDENTITY },
    });
  });
  after(async () => {
    await busy.close();
    await idle.close();
  });

  const shown: Record<string, string[]> = {
    "stat-table": ["stat"],
    "stat-wide": ["stat", "-o", "wide"],
    "stat-all-namespaces": ["stat", "-A"],
    "stat-json": ["stat", "-o", "json"],
    "authz-list": ["authz", "list"],
    "authz-list-json": ["authz", "list", "price", "-o", "json"],
    "authz-explain": ["authz", "explain", "--from", "keyboard", "--to", "price"],
    "authz-explain-json": ["authz", "explain", "--from", "keyboard", "--to", "price", "-o", "json"],
    "authz-generate": ["authz", "generate", "--since", "1m"],
    "authz-generate-json": ["authz", "generate", "-o", "json"],
    "edges-table": ["edges"],
    "edges-wide": ["edges", "-A", "-o", "wide"],
    "edges-json": ["edges", "workloads", "-o", "json"],
    "endpoints-table": ["endpoints"],
    "endpoints-of-service": ["endpoints", "price", "nothing"],
    "endpoints-json": ["endpoints", "-o", "json"],
    "identity-table": ["identity"],
    "identity-json": ["identity", "show", "-o", "json"],
  };
  for (const [name, words] of Object.entries(shown)) {
    it(`are shown: ${name}`, async () => {
      const result = await runCaptured(words, { HEDDLE_CONTROL: busy.address });
      matchesGolden(`output/${name}.txt`, transcript(words, result));
    });
    it(`are shown when there is nothing: ${name}`, async () => {
      const result = await runCaptured(words, { HEDDLE_CONTROL: idle.address });
      matchesGolden(`output/${name}-empty.txt`, transcript(words, result));
    });
  }
});
