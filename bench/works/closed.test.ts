import assert from "node:assert/strict";
import { describe, it } from "node:test";

import type { LoadResult } from "../load/load.ts";
import { DIRECT, HAPROXY, ONE_SIDECAR } from "../subjects/names.ts";
import type { Subject } from "../subjects/subject.ts";
import { type ClosedLoop, measureLoop } from "./closed.ts";

/** Subjects without processes: what they cost is not the matter here. */
function subject(name: string, port: number): Subject {
  return { name, port, processes: [] };
}

function loop(load: (port: number) => LoadResult): ClosedLoop {
  return {
    name: "loop",
    title: "A loop",
    traffic: "http1",
    unit: "req",
    peers: [HAPROXY],
    bars: [{ peer: HAPROXY, limit: 1.25 }],
    blocks: 2,
    seconds: 1,
    warmUp: 1,
    load: (port) => Promise.resolve().then(() => load(port)),
  };
}

const fine: LoadResult = { requests: 100, rate: 50, failures: 0 };
const all = [subject(DIRECT, 1), subject(HAPROXY, 2), subject(ONE_SIDECAR, 3)];
const quiet = (): void => {};

describe("a closed loop", () => {
  it("has a row for each subject, in their order", async () => {
    const { rows } = await measureLoop(
      quiet,
      loop(() => fine),
      all,
      true,
    );
    assert.deepEqual(
      rows.map(({ subject: name, values }) => [name, values["rate"]]),
      [
        [DIRECT, 50],
        [HAPROXY, 50],
        [ONE_SIDECAR, 50],
      ],
    );
  });

  it("lets a failed request miss the bar, whatever the CPU", async () => {
    const { rows } = await measureLoop(
      quiet,
      loop((port) => (port === 3 ? { ...fine, failures: 1 } : fine)),
      all,
      true,
    );
    assert.deepEqual(rows[2]?.bars, [{ text: "no failed request", figure: "2", verdict: "missed" }]);
  });

  it("leaves a subject out that cannot carry it, says why, and lets ours miss its bar", async () => {
    const { rows, notes } = await measureLoop(
      quiet,
      loop((port) => {
        if (port === 1) return fine;
        throw new Error(`port ${port} closed`);
      }),
      all,
      true,
    );
    assert.deepEqual(rows.slice(1), [
      { subject: HAPROXY, values: {} },
      { subject: ONE_SIDECAR, values: {}, bars: [{ text: "carries it", figure: "no", verdict: "missed" }] },
    ]);
    assert.ok(notes.includes("HAProxy does not carry it: port 2 closed"));
  });

  it("takes a subject from which nothing comes back for one that cannot carry it", async () => {
    const { notes } = await measureLoop(
      quiet,
      loop((port) => (port === 2 ? { requests: 0, rate: 0, failures: 7 } : fine)),
      all,
      true,
    );
    assert.ok(notes.includes("HAProxy does not carry it: nothing came back, 7 failed"));
  });

  it("fails where the direct way fails: then it is the bench that is broken", async () => {
    const broken = loop(() => {
      throw new Error("no back end");
    });
    await assert.rejects(measureLoop(quiet, broken, all, true), /no back end/);
  });
});
